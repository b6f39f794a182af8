"""The method writes a rule; the module and its weights are left as they are."""

from __future__ import annotations

from pathlib import Path

from galenic.compress.method import Bench
from galenic.compress.quantize.static_int8 import StaticInt8
from galenic.record.quant import Observer
from galenic.zoo.build import build
from galenic.zoo.model import weights_hash


def test_the_rule_names_its_calibration_and_what_stays_float(task, tmp_path: Path) -> None:
    start = build("resnet8", (1, 12, 12), 2)
    (made,) = StaticInt8(observer=Observer.PERCENTILE, keep=("classifier*",)).apply(start, Bench(task, 0, tmp_path))
    assert start.quant is None
    assert made.quant is not None
    rule = made.quant.rule
    assert (rule.weight_bits, rule.activation_bits, rule.per_channel) == (8, 8, True)
    assert rule.keep == ("classifier*",)
    assert rule.calibration_hash == task.split_hashes["calibration"]
    assert rule.calibration_rows == 48
    assert weights_hash(made) == weights_hash(start)
    assert made.lineage == ("resnet8", "static_int8")
