"""Equalised layers compute the same, and their channels have the same range."""

from __future__ import annotations

import torch
from torch import nn

from galenic.compress.quantize.equalise import equalise, pairs
from galenic.zoo.build import build
from galenic.zoo.graph import folded, traced


def test_by_hand(as_model) -> None:
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[8.0], [0.5]]))
        net[0].bias.copy_(torch.tensor([4.0, 1.0]))
        net[2].weight.copy_(torch.tensor([[2.0, 0.5]]))
    graph = traced(as_model(net, (1,), 1))
    assert equalise(graph) == 1
    # s = sqrt(8 / 2) = 2 and sqrt(.5 / .5) = 1
    assert net[0].weight.flatten().tolist() == [4.0, 0.5]
    assert net[0].bias.tolist() == [2.0, 1.0]
    assert net[2].weight.flatten().tolist() == [4.0, 0.5]


def test_only_a_relu_lets_a_factor_pass() -> None:
    _, graph = folded(build("mobilenet_v3_small", (3, 32, 32), 2))
    found = [(first.meta["tensor"], second.meta["tensor"]) for first, second in pairs(graph)]
    assert ("features.2.body.expand.conv", "features.2.body.depthwise.conv") in found
    assert ("features.1.body.gate.reduce", "features.1.body.gate.expand") in found
    assert not any(first.startswith("features.4.body.expand") for first, _ in found), "a hardswish follows it"
    assert ("features.1.body.project.conv", "features.2.body.expand.conv") in found, "nothing is between them"
    assert not any(first.startswith("features.2.body.project") for first, _ in found), "a sum takes it too"


def test_a_depthwise_pair_keeps_its_function_and_evens_its_ranges(as_model) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with torch.no_grad():
        net[0].weight.mul_(torch.tensor([1.0, 10.0, 0.1, 3.0]).view(4, 1, 1, 1))
    model, inputs = as_model(net, (2, 6, 6), 4), torch.randn(5, 2, 6, 6)
    with torch.no_grad():
        before = net(inputs)
        assert equalise(traced(model)) == 1
        torch.testing.assert_close(net(inputs), before)
        torch.testing.assert_close(net[0].weight.abs().amax((1, 2, 3)), net[2].weight.abs().amax((1, 2, 3)))
