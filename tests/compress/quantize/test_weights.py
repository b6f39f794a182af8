"""Which layers are quantized, with which scales, and that what is baked lies on them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from galenic.compress.quantize.grid import Grid, activation_point, weight_point
from galenic.compress.quantize.weights import (
    bake,
    bake_biases,
    dead_channels,
    inputs_of,
    kept_layers,
    weight_points,
)
from galenic.record.errors import ModelError
from galenic.record.quant import LayerRule, QuantRule
from galenic.zoo.graph import traced


def test_rules_of_single_layers_give_their_bits(known) -> None:
    graph = traced(known)
    rule = QuantRule(layers=(LayerRule(layer="2", weight_bits=4),))
    points = weight_points(graph, rule, {})
    assert [(point.tensor, point.bits) for point in points] == [("0", 8), ("2", 4)]
    # (1, 0) and (0.25, -4) and (-0.5, 2): the scale with the least squared error of a grid of -7 to 7
    steps = torch.linspace(0.001, 1.2, 20_000, dtype=torch.float64)[:, None]
    for row, scale in zip(known.module[2].weight.detach().double(), points[1].scale, strict=True):
        grids = row.abs().max() / 7 * steps
        errors = ((row / grids).round().clamp(-7, 7) * grids - row).square().sum(1)
        found = ((row / scale).round().clamp(-7, 7) * scale - row).square().sum()
        assert float(found) <= float(errors.min()) + 2e-4
    assert kept_layers(graph, QuantRule(layers=(LayerRule(layer="0", weight_bits=32),))) == ("0",)
    assert [point.tensor for point in weight_points(graph, QuantRule(keep=("0",)), {})] == ["2"]
    assert weight_points(graph, QuantRule(per_channel=False), {})[1].scale == pytest.approx((4 / 127,))


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest(known) -> None:
    with pytest.raises(ModelError, match=r"'3', which matches no layer; expected a pattern for one of 0, 2"):
        kept_layers(traced(known), QuantRule(keep=("3",)))


def test_what_is_baked_is_on_the_grid_and_by_hand(known) -> None:
    with torch.no_grad():
        known.module[0].weight.copy_(torch.tensor([[1.1, -2.0], [0.5, 0.2]]))
    graph = traced(known)
    points = [weight_point("0", torch.tensor([[2 / 7], [0.5 / 7]]), bits=4, group_size=0)]
    bake(graph, points)
    # steps 2/7 and 0.5/7: 1.1 -> 3.85 -> 4, 0.2 -> 2.8 -> 3
    expected = torch.tensor([[4 * 2 / 7, -2.0], [0.5, 3 * 0.5 / 7]])
    torch.testing.assert_close(known.module[0].weight.detach(), expected)
    assert inputs_of(graph) == {"0": "input", "2": "1/relu"}
    bake_biases(graph, [activation_point("input", Grid(0.5, 0), 8), *points], {"0": "input"})
    # 0.5 / (0.5 * 0.5 / 7) = 14
    assert known.module[0].bias.tolist() == [0.0, pytest.approx(14 * 0.5 * 0.5 / 7)]
    assert known.module[2].bias.tolist() == [0.0, 1.0, -1.0], "its input has no grid"


def test_a_transposed_convolution_has_its_outputs_second(as_model) -> None:
    net = nn.Sequential(nn.ConvTranspose2d(2, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 2.0, 4.0], [-3.0, 1.0, 0.5]]).view(2, 3, 1, 1))
    model = as_model(net, (2, 4, 4), 3)
    (point,) = weight_points(traced(model), QuantRule(), {})
    assert point.scale == pytest.approx((3 / 127, 2 / 127, 4 / 127))
    before = net[0].weight.detach().clone()
    bake(traced(model), [point])
    assert float((net[0].weight.detach() - before).abs().max()) <= 0.5 * 4 / 127
    assert not torch.equal(net[0].weight, before)


def test_a_transposed_convolution_in_groups_is_refused_and_may_stay_float(as_model) -> None:
    net = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, groups=2), nn.Flatten(), nn.Linear(36, 3))
    graph = traced(as_model(net, (4, 2, 2), 3))
    with pytest.raises(ModelError, match=r"0, a transposed convolution in 2 groups, as integers.*keep = \['0'\]"):
        weight_points(graph, QuantRule(), {})
    assert [point.tensor for point in weight_points(graph, QuantRule(keep=("0",)), {})] == ["2"]


def test_dead_channels_are_said(known) -> None:
    with torch.no_grad():
        known.module[0].weight[1] = 0
    assert dead_channels(traced(known)) == ("0 has 1 dead of 2 channels: all their weights are zero",)
