"""Four-bit weights: which bits where, what is on which grid, learned against nearest, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from galenic.compress.method import Bench
from galenic.compress.quantize.adaround import AdaRound
from galenic.compress.quantize.int4 import Rounding, StaticW4A8, WeightInt4
from galenic.compress.quantize.places import logits
from galenic.compress.quantize.simulate import simulated
from galenic.compress.quantize.weights import scales_of
from galenic.exporters.onnxruntime import EXPORTER
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import FLOAT_BITS, Arithmetic, LayerRule, Observer, QuantPoint, TensorRole
from galenic.runtimes.load import open_session
from galenic.zoo.graph import traced
from galenic.zoo.model import Model, weights_hash

QUICK = AdaRound(steps=100, learning_rate=0.1)


def net() -> Model:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU()]
    module = nn.Sequential(*body, nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))
    for _ in range(3):
        module(torch.randn(16, 1, 12, 12))
    return Model(module.eval(), ModelSpec(architecture="net", input_shape=(1, 12, 12), outputs=2), ("net",))


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=0, folder=tmp_path)


def grids(model: Model) -> dict[str, QuantPoint]:
    assert model.quant is not None
    return {point.tensor: point for point in model.quant.points if point.role is TensorRole.WEIGHT}


def check_on_grid(model: Model) -> None:
    for name, point in grids(model).items():
        weight = model.module.get_parameter(f"{name}.weight").detach()
        scales = scales_of(point, len(weight))
        integers = weight.reshape(len(weight), scales.shape[1], -1) / scales[:, :, None]
        torch.testing.assert_close(integers, integers.round(), atol=1e-4, rtol=0)
        assert integers.abs().max().round() <= 2 ** (point.bits - 1) - 1


def rows_of(bench: Bench) -> torch.Tensor:
    return torch.from_numpy(to_inputs(bench.task.preprocessing, bench.task.validation.inputs))


@pytest.mark.parametrize("rounding", list(Rounding))
def test_weights_alone_leave_activations_and_biases_float(rounding: Rounding, bench: Bench) -> None:
    start = net()
    (made,) = WeightInt4(rounding=rounding, adaround=QUICK, keep=("8",)).apply(start, bench)
    assert start.quant is None
    assert made.lineage == ("net", "weight_int4")
    spec = made.quant
    assert spec is not None
    assert spec.rule.arithmetic is Arithmetic.WEIGHTS
    assert spec.rule.activation_bits == FLOAT_BITS
    assert {name: point.bits for name, point in grids(made).items()} == {"0": 4, "3": 4, "5": 4}
    assert len(grids(made)) == len(spec.points)
    assert spec.stays_float == ("8",)
    assert spec.weights_hash == weights_hash(made)
    looked_at = bench.task.split_hashes["calibration"] if rounding is Rounding.ADAROUND else ""
    assert spec.rule.calibration_hash == looked_at
    check_on_grid(made)
    for name in ("3.bias", "8.bias", "8.weight"):
        assert torch.equal(made.module.get_parameter(name), start.module.get_parameter(name))


def test_groups_have_scales_of_their_own_and_what_is_not_whole_groups_is_named(bench: Bench) -> None:
    (made,) = WeightInt4(group_size=4, rounding=Rounding.NEAREST).apply(net(), bench)
    found = grids(made)
    # 5 has 8 weights a channel: two groups; 8 has 108: 27; 0 and 3 have 9, no whole groups of 4
    assert {name: len(point.scale) for name, point in found.items()} == {"0": 8, "3": 8, "5": 24, "8": 54}
    assert {name: point.group_size for name, point in found.items()} == {"0": 0, "3": 0, "5": 4, "8": 4}
    assert made.quant is not None
    assert [note.split(" has ")[0] for note in made.quant.notes] == ["0", "3"]
    check_on_grid(made)
    float_weight = net().module.get_parameter("8.weight").detach()
    (whole,) = WeightInt4(rounding=Rounding.NEAREST).apply(net(), bench)
    errors = [(one.module.get_parameter("8.weight") - float_weight).square().sum() for one in (made, whole)]
    assert errors[0] < errors[1]


def test_groups_can_be_learned_too(bench: Bench) -> None:
    (made,) = WeightInt4(group_size=4, adaround=QUICK).apply(net(), bench)
    check_on_grid(made)


def test_the_ends_keep_eight_bits_unless_told_otherwise(bench: Bench) -> None:
    quick = StaticW4A8(observer=Observer.MIN_MAX, correct_bias=False, equalise=False, rounding=Rounding.NEAREST)
    (made,) = quick.apply(net(), bench)
    assert {name: point.bits for name, point in grids(made).items()} == {"0": 8, "3": 4, "5": 4, "8": 8}
    activations = [point for point in made.quant.points if point.role is not TensorRole.WEIGHT]
    assert {point.bits for point in activations} == {8}
    own = quick.model_copy(update={"layers": (LayerRule(layer="8", weight_bits=3),), "end_bits": 6})
    (made,) = own.apply(net(), bench)
    assert {name: point.bits for name, point in grids(made).items()} == {"0": 6, "3": 4, "5": 4, "8": 3}
    (made,) = quick.model_copy(update={"end_bits": 0}).apply(net(), bench)
    assert {point.bits for point in grids(made).values()} == {4}
    assert made.lineage == ("net", "static_w4a8")
    assert made.quant.rule.calibration_rows == 48


def test_learned_rounding_is_nearer_to_the_float_model_and_the_file_is_the_simulation(bench: Bench, tmp_path) -> None:
    rows, start = rows_of(bench), net()
    plain = StaticW4A8(bits=3, observer=Observer.MIN_MAX, correct_bias=False, equalise=False, end_bits=0)
    found = []
    for rounding in Rounding:
        config = plain.model_copy(update={"rounding": rounding, "adaround": QUICK})
        (made,) = config.apply(start, bench)
        check_on_grid(made)
        graph = traced(made)
        with torch.no_grad():
            answered = simulated(graph, made.quant.points, rows, (logits(graph),))
            found.append((answered - start.module(rows)).square().mean())
    assert found[1] < 0.7 * found[0]
    assert list(made.quant.measured) == ["min-max", "min-max + learned rounding"]
    assert made.quant.measured["min-max + learned rounding"] < made.quant.measured["min-max"]
    artifact = EXPORTER.export(
        made, tmp_path / "net.onnx", preprocessing=bench.task.preprocessing, classes=bench.task.classes
    )
    np.testing.assert_allclose(open_session(artifact).run(rows.numpy()), answered, atol=1e-5)
    assert artifact.integer_ops.floating == 0


def test_the_same_seed_gives_the_same_weights(bench: Bench) -> None:
    config = StaticW4A8(observer=Observer.MSE, correct_bias=False, equalise=False, adaround=QUICK)
    once, again, other = (config.apply(net(), replace(bench, seed=seed))[0] for seed in (1, 1, 2))
    assert once.quant == again.quant
    assert weights_hash(once) == weights_hash(again) != weights_hash(other)


def test_what_is_no_four_bit_model_is_refused(bench: Bench) -> None:
    (made,) = WeightInt4(rounding=Rounding.NEAREST).apply(net(), bench)
    for method in (WeightInt4(rounding=Rounding.NEAREST), StaticW4A8(rounding=Rounding.NEAREST)):
        with pytest.raises(ModelError, match="quantized already"):
            method.apply(made, bench)
    text = net()
    text.module.vocabulary = 9
    with pytest.raises(ModelError, match="rounding = 'nearest'"):
        WeightInt4().apply(text, bench)
    with pytest.raises(ModelError, match="a text net"):
        StaticW4A8().apply(text, bench)
    for method in (WeightInt4, StaticW4A8):
        for bits in (1, 9):
            with pytest.raises(ValidationError):
                method(bits=bits)
    with pytest.raises(ValidationError):
        WeightInt4(group_size=-1)
