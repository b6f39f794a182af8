"""Choices are made by measuring, and what comes out is on its grids and says how it was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.static import Choices, Rows, is_better, quantize_static
from galenic.record.errors import ModelError
from galenic.record.quant import LayerRule, Observer, QuantRule, TensorRole
from galenic.zoo.model import weights_hash

CALIBRATION = np.array([[-1.0, 0.5], [3.0, 2.0]], np.float32)
# relu(W0 x + b0) of the two rows: (-1 - 1, -.5 + .125 + .5) -> (0, .125) and (3 - 4, 1.5 + .5 + .5) -> (0, 2.5)
FIXED = Choices(Observer.MIN_MAX, correct_bias=False, equalise=False, tune_ranges=False)


def both(rows: np.ndarray) -> Rows:
    return Rows(in_batches(rows), in_batches(rows))


def test_scales_and_zero_points_are_those_worked_out_by_hand(known) -> None:
    before = weights_hash(known)
    made = quantize_static(known, QuantRule(), both(CALIBRATION), FIXED)
    assert weights_hash(known) == before, "the model is left as it was"
    spec = made.quant
    assert spec is not None
    found = {(point.tensor, point.role): point for point in spec.points}
    entry = found["input", TensorRole.INPUT]
    # the inputs lie in [-1, 3]: scale 4 / 255, and -1 has to be integer 0, so the zero is at 255 / 4 = 63.75 -> 64
    assert entry.scale == pytest.approx((4 / 255,))
    assert (entry.zero_point, entry.bits, entry.axis) == ((64,), 8, None)
    hidden = found["1/relu", TensorRole.OUTPUT]
    assert hidden.scale == pytest.approx((2.5 / 255,))
    assert hidden.zero_point == (0,)
    # symmetric, one scale per output: the largest weight of each is 127
    assert found["0", TensorRole.WEIGHT].scale == pytest.approx((2.0 / 127, 0.5 / 127))
    assert found["2", TensorRole.WEIGHT].scale == pytest.approx((1.0 / 127, 4.0 / 127, 2.0 / 127))
    assert set(found) - {("2", TensorRole.OUTPUT)} == {
        ("input", TensorRole.INPUT),
        ("1/relu", TensorRole.OUTPUT),
        ("0", TensorRole.WEIGHT),
        ("2", TensorRole.WEIGHT),
    }
    assert spec.weights_hash == weights_hash(made)
    assert spec.rule.observer is Observer.MIN_MAX
    integers = made.module[2].weight.detach().numpy() / np.array(found["2", TensorRole.WEIGHT].scale)[:, None]
    np.testing.assert_allclose(integers, np.round(integers), atol=1e-4)


def test_an_outlier_makes_another_observer_the_chosen_one(known) -> None:
    random = np.random.default_rng(0)
    calibration = random.normal(size=(5000, 2)).astype(np.float32)
    calibration[7] = (100.0, -100.0)
    rows = Rows(in_batches(calibration), in_batches(random.normal(size=(200, 2)).astype(np.float32)))
    spec = quantize_static(
        known, QuantRule(), rows, Choices(correct_bias=False, equalise=False, tune_ranges=False)
    ).quant
    assert spec is not None
    assert set(spec.measured) == {one.value for one in Observer}
    assert spec.rule.observer is not Observer.MIN_MAX
    assert spec.measured[spec.rule.observer.value] == min(spec.measured.values())
    assert spec.measured["min-max"] > 10 * min(spec.measured.values())


def test_what_is_measured_is_named_and_an_optional_step_has_to_help(known, batches) -> None:
    made = quantize_static(known, QuantRule(), Rows(batches(64, (2,)), batches(64, (2,), 1)), Choices(Observer.MSE))
    assert made.quant is not None
    names = list(made.quant.measured)
    assert names[:2] == ["mse", "mse + bias correction"]
    assert names[2].endswith("equalisation")
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0))
    assert is_better(torch.ones(100), torch.ones(100) * 2)
    assert not is_better(torch.ones(100), torch.ones(100))
    assert not is_better(torch.zeros(100), noise - noise.mean() + 0.05), "0.05 is within the error of 0.1"


def test_fewer_bits_for_one_layer_and_none_for_another(known, batches) -> None:
    rule = QuantRule(keep=("0",), layers=(LayerRule(layer="2", weight_bits=4),))
    spec = quantize_static(known, rule, Rows(batches(32, (2,)), batches(32, (2,))), FIXED).quant
    assert spec is not None
    assert spec.stays_float == ("0",)
    assert [(p.tensor, p.bits) for p in spec.points if p.role is TensorRole.WEIGHT] == [("2", 4)]
    assert "input" not in {p.tensor for p in spec.points}, "a float layer alone takes it"


def test_a_layers_activation_bits_are_those_of_its_fused_relu(known, batches) -> None:
    rule = QuantRule(layers=(LayerRule(layer="0", activation_bits=4),))
    spec = quantize_static(known, rule, Rows(batches(32, (2,)), batches(32, (2,))), FIXED).quant
    assert spec is not None
    assert {p.tensor: p.bits for p in spec.points if p.role is not TensorRole.WEIGHT} == {
        "input": 8,
        "1/relu": 4,
        "2": 8,
    }


def test_a_quantized_model_is_not_quantized_again(known, batches) -> None:
    made = quantize_static(known, QuantRule(), Rows(batches(8, (2,)), batches(8, (2,))), FIXED)
    with pytest.raises(ModelError, match="quantized already"):
        quantize_static(replace(made, lineage=("made here", "static_int8")), QuantRule(), both(CALIBRATION))


def test_a_dead_channel_and_a_constant_are_said(as_model, batches) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(-1.0)
    spec = quantize_static(as_model(net, (2,), 2), QuantRule(), Rows(batches(8, (2,)), batches(8, (2,))), FIXED).quant
    assert spec is not None
    assert spec.notes[:2] == (
        "0 has 2 dead of 2 channels: all their weights are zero",
        "1/relu was 0 for every calibration row",
    )
