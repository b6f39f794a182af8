"""Learned rounding: its pieces by hand, layers against the convolutions that they stand for, and that it beats the nearest."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from galenic.compress.quantize import adaround
from galenic.compress.quantize.adaround import (
    AdaRound,
    Samples,
    affordable_rows,
    draw_samples,
    indecision,
    inverse_rectified_sigmoid,
    learn_rounding,
    rectified_sigmoid,
    round_layers,
)
from galenic.compress.quantize.calibrate import calibrate
from galenic.compress.quantize.simulate import simulated
from galenic.compress.quantize.static import place
from galenic.compress.quantize.weights import bake, scales_of, weight_points
from galenic.record.errors import DataError, ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import FLOAT_BITS, Arithmetic, LayerRule, Observer, QuantRule
from galenic.zoo.graph import folded, layers
from galenic.zoo.model import Model

QUICK = AdaRound(steps=150, learning_rate=0.1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_rectified_sigmoid_by_hand() -> None:
    h = rectified_sigmoid(torch.tensor([-9.0, -2.39, 0.0, 2.39, 9.0]))
    assert h.tolist() == pytest.approx([0.0, 0.001, 0.5, 0.999, 1.0], abs=1e-3)
    fractions = torch.linspace(0, 1, 11)
    torch.testing.assert_close(rectified_sigmoid(inverse_rectified_sigmoid(fractions)), fractions)


def test_indecision_by_hand() -> None:
    h = torch.tensor([0.0, 0.5, 0.75, 1.0])
    assert indecision(h, 2.0).item() == pytest.approx((0 + 1 + 0.75 + 0) / 4)
    assert indecision(h, 20.0).item() == pytest.approx((0 + 1 + (1 - 0.5**20) + 0) / 4)


def test_two_weights_that_the_nearest_rounds_the_same_way_are_rounded_apart() -> None:
    # both inputs are always equal: 0.4 + 0.45 = 0.85 is nearer to 0 + 1 than to 0 + 0
    inputs = torch.randn(64, 1, 1, generator=generator()).expand(64, 1, 2).contiguous()
    weight, scales = torch.tensor([[[0.4, 0.45]]]), torch.ones(1, 1, 2)
    samples = Samples(inputs, inputs @ weight.transpose(1, 2), torch.zeros(1, 1), torch.positive)
    rounded = learn_rounding(weight, scales, 7, samples, QUICK, generator())
    assert rounded.flatten().tolist() == [0.0, 1.0]


def correlated(groups: int, out: int, k: int, seed: int) -> tuple[Tensor, Tensor, Samples]:
    mixed = torch.randn(k, k, generator=generator(seed)) / k**0.5
    inputs = torch.randn(400, groups, k, generator=generator(seed + 1)) @ mixed + 0.3
    weight = torch.randn(groups, out, k, generator=generator(seed + 2))
    scales = weight.abs().amax(dim=2, keepdim=True).expand_as(weight) / 3
    bias = torch.randn(groups, out, generator=generator(seed + 3))
    targets = torch.relu(torch.einsum("ngk,gok->ngo", inputs, weight) + bias)
    return weight, scales, Samples(inputs, targets, bias, torch.relu)


def test_it_beats_the_nearest_integers_on_rows_that_it_has_not_seen_and_every_choice_is_made(monkeypatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(adaround, "indecision", lambda h, beta: seen.append(h.detach()) or indecision(h, beta))
    weight, scales, samples = correlated(1, 8, 24, seed=0)
    first = Samples(samples.inputs[:200], samples.targets[:200], samples.bias, samples.rectify)
    other = Samples(samples.inputs[200:], samples.targets[200:], samples.bias, samples.rectify)
    learned = learn_rounding(weight, scales, 3, first, AdaRound(steps=400), generator())
    nearest = (weight / scales).round() * scales
    assert other.errors(learned).mean() < 0.7 * other.errors(nearest).mean()
    assert ((seen[0] > 0.01) & (seen[0] < 0.99)).float().mean() > 0.5, "it began undecided"
    assert ((seen[-1] > 0.01) & (seen[-1] < 0.99)).float().mean() < 0.05, "h ends at 0 or 1"
    integers = learned / scales
    torch.testing.assert_close(integers, integers.round())
    assert integers.abs().max() <= 3
    assert ((integers - weight / scales).abs() < 1 + 1e-4).all(), "up or down, and no further"


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), groups=st.sampled_from([1, 3]), out=st.sampled_from([1, 2]))
def test_no_channel_is_worse_than_with_the_nearest_integers(seed: int, groups: int, out: int) -> None:
    weight, scales, samples = correlated(groups, out, 6, seed)
    learned = learn_rounding(weight, scales, 3, samples, AdaRound(steps=20), generator())
    nearest = (weight / scales).round().clamp(-3, 3) * scales
    assert (samples.errors(learned) <= samples.errors(nearest)).all()


def test_the_same_seed_rounds_alike_and_exact_weights_stay() -> None:
    weight, scales, samples = correlated(1, 4, 12, seed=5)
    once, again = (learn_rounding(weight, scales, 3, samples, QUICK, generator(3)) for _ in range(2))
    assert torch.equal(once, again)
    exact = (weight / scales).round() * scales
    same = Samples(samples.inputs, samples.targets * 0, samples.bias * 0 - 99, torch.relu)
    assert torch.equal(learn_rounding(exact, scales, 3, same, QUICK, generator()), exact)


@pytest.mark.parametrize(("last", "rounded"), [(0.0, 0.0), (-0.0, 0.0), (0.01, 1.0)])
def test_a_weight_that_was_removed_stays_zero_even_where_rounding_it_up_would_help(last: float, rounded: float) -> None:
    # all inputs are always equal: 0.9 + 0.6 + last is to be 2.8, and 1 + 1 + 1 is nearer than 1 + 1 + 0
    inputs = torch.rand(64, 1, 1, generator=generator()).expand(64, 1, 3).contiguous()
    samples = Samples(inputs, 2.8 * inputs[:, :, :1], torch.zeros(1, 1), torch.positive)
    weight = torch.tensor([[[0.9, 0.6, last]]])
    found = learn_rounding(weight, torch.ones(1, 1, 3), 7, samples, QUICK, generator())
    assert found.flatten().tolist() == [1.0, 1.0, rounded]


def model_of(module: nn.Module, shape: tuple[int, ...]) -> Model:
    return Model(module.eval(), ModelSpec(architecture="made here", input_shape=shape, outputs=3), ("made here",))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2), (4, 7, 8)),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), (4, 5, 5)),
        (nn.Conv1d(4, 6, 5, stride=3, padding=2, dilation=2, groups=2), (4, 30)),
        (nn.Linear(6, 5), (6,)),
        (nn.Linear(6, 5), (4, 6)),
    ],
    ids=["conv2d", "depthwise", "conv1d", "linear", "tokens"],
)
def test_samples_are_the_windows_of_the_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """All windows, multiplied with the weight, are the layer's own output in some order."""
    torch.manual_seed(0)
    _, graph = folded(model_of(nn.Sequential(layer), shape))
    (node,) = layers(graph).values()
    rows = torch.randn(6, *shape)
    with torch.no_grad():
        outputs = layer(rows)
        samples = draw_samples(node, rows, outputs, layer.weight, layer.bias, generator())
        grouped = layer.weight.reshape(*samples.bias.shape, -1)
        assert samples.errors(grouped).max() < 1e-10
        made = torch.einsum("ngk,gok->ngo", samples.inputs, grouped) + samples.bias
    torch.testing.assert_close(made.flatten().sort().values, outputs.flatten().sort().values)


def test_a_fused_relu_is_part_of_what_is_reconstructed_and_samples_are_bounded(monkeypatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(adaround, "SAMPLES", 10)
    layer = nn.Conv2d(2, 3, 3)
    _, graph = folded(model_of(nn.Sequential(layer, nn.ReLU()), (2, 6, 6)))
    (node,) = layers(graph).values()
    rows = torch.randn(4, 2, 6, 6)
    with torch.no_grad():
        samples = draw_samples(node, rows, layer(rows), layer.weight, layer.bias, generator())
    assert samples.targets.shape == (10, 1, 3)
    assert samples.targets.min() == 0


def test_a_fused_relu6_keeps_its_limits() -> None:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(0.5)
    _, graph = folded(model_of(nn.Sequential(layer, nn.ReLU6()), (2,)))
    (node,) = layers(graph).values()
    rows = torch.tensor([[-1.0, 0.0], [1.0, 2.0], [4.0, 5.0]])
    with torch.no_grad():
        samples = draw_samples(node, rows, layer(rows), layer.weight, layer.bias, generator())
    assert samples.targets.flatten().sort().values.tolist() == [0.0, 3.5, 6.0]


def small_net() -> Model:
    torch.manual_seed(1)
    body = [nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6), nn.Hardswish()]
    return model_of(nn.Sequential(*body, nn.Flatten(), nn.Linear(96, 3)), (1, 6, 6))


@pytest.mark.parametrize("arithmetic", [Arithmetic.STATIC, Arithmetic.WEIGHTS])
def test_a_net_that_is_rounded_layer_by_layer_answers_nearer_to_the_float_one(arithmetic: Arithmetic) -> None:
    start, graph = folded(small_net())
    rows = torch.randn(160, 1, 6, 6, generator=generator())
    rule = QuantRule(arithmetic=arithmetic, weight_bits=3, layers=(LayerRule(layer="3", weight_bits=FLOAT_BITS),))

    def batches() -> list[Tensor]:
        return [rows[:32], rows[32:64]]

    static = arithmetic is Arithmetic.STATIC
    points = (
        place(graph, rule, calibrate(graph, batches), Observer.MIN_MAX) if static else weight_points(graph, rule, {})
    )
    errors = []
    with torch.no_grad():
        expected = graph(rows[64:])
        for rounding in (None, partial(round_layers, config=QUICK, seed=0)):
            _, own = folded(small_net())
            if rounding is None:
                bake(own, points)
            else:
                rounding(graph, own, points, batches)
            errors.append((simulated(own, points, rows[64:]) - expected).square().mean())
            weights = dict(own.named_parameters())
            assert torch.equal(weights["3.weight"], start.module.get_parameter("3.weight")), "it stays float"
            for point in points:
                if point.role.value == "weight":
                    weight = weights[f"{point.tensor}.weight"].flatten(1)
                    ratio = weight / scales_of(point, len(weight))
                    torch.testing.assert_close(ratio, ratio.round(), atol=1e-4, rtol=0)
    assert errors[1] < 0.6 * errors[0]


def test_fewer_rows_are_looked_at_where_their_tensors_would_be_too_large(monkeypatch) -> None:
    net = model_of(nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3)), (10,))
    (_, graph), (_, own) = folded(net), folded(net)
    monkeypatch.setattr(adaround, "MOST_BYTES", 10_000)
    # at the ReLU 20 numbers are read and 20 written, of 4 bytes each, float and quantized
    assert affordable_rows(graph, torch.zeros(1, 10)) == 10_000 // (2 * 4 * 40)
    seen: list[int] = []
    monkeypatch.setattr(adaround, "draw_samples", lambda *given: seen.append(len(given[1])) or draw_samples(*given))
    points = weight_points(graph, QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=3), {})
    round_layers(graph, own, points, lambda: [torch.randn(50, 10)], config=AdaRound(steps=1), seed=0)
    assert seen == [31, 31]


def test_a_transposed_convolution_is_refused_with_a_remedy() -> None:
    net = model_of(nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.Flatten(), nn.Linear(27, 3)), (2, 2, 2))
    _, graph = folded(net)
    points = weight_points(graph, QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=4), {})
    with pytest.raises(ModelError, match=r"rounding = 'nearest', or keep it float: keep = \['0'\]"):
        round_layers(graph, graph, points, lambda: [torch.randn(2, 2, 2, 2)], config=QUICK, seed=0)


@pytest.mark.parametrize(("rows", "given"), [([], "no calibration rows"), ([torch.zeros(4, 1, 6, 6)], "all zero")])
def test_rows_that_say_nothing_are_refused(rows: list[Tensor], given: str) -> None:
    _, graph = folded(small_net())
    points = weight_points(graph, QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=4), {})
    with pytest.raises(DataError, match=given):
        round_layers(graph, graph, points, lambda: rows, config=QUICK, seed=0)
