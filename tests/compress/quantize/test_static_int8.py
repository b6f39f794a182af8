"""The method finds every point on the task's rows, and names them; the model is left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from galenic.compress.method import Bench
from galenic.compress.quantize.static_int8 import StaticInt8
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import Observer
from galenic.zoo.build import build
from galenic.zoo.model import Model, weights_hash


def test_the_rule_names_its_calibration_and_what_stays_float(task, tmp_path: Path) -> None:
    start = build("resnet8", (1, 12, 12), 2)
    (made,) = StaticInt8(observer=Observer.PERCENTILE, keep=("classifier*",)).apply(start, Bench(task, 0, tmp_path))
    assert start.quant is None
    assert made.quant is not None
    assert made.quant.stays_float == ("classifier",)
    rule = made.quant.rule
    assert (rule.weight_bits, rule.activation_bits, rule.per_channel) == (8, 8, True)
    assert rule.keep == ("classifier*",)
    assert rule.calibration_hash == task.split_hashes["calibration"]
    assert rule.calibration_rows == 48
    assert rule.observer is Observer.PERCENTILE
    assert made.quant.weights_hash == weights_hash(made) != weights_hash(start)
    assert made.lineage == ("resnet8", "static_int8")


def test_a_text_net_is_refused_before_any_work(task, tmp_path: Path) -> None:
    class Reader(nn.Module):
        vocabulary = 10

    model = Model(Reader(), ModelSpec(architecture="reader", input_shape=(8,), outputs=2))
    with pytest.raises(ModelError, match="reader, a text net, as static 8-bit integers"):
        StaticInt8().refuse_model(model)
