"""Which tensors have a grid of their own."""

from __future__ import annotations

import torch
from torch import nn

from galenic.compress.quantize.places import grids, logits, maker, quantized_tensors
from galenic.zoo.build import build
from galenic.zoo.graph import folded, traced


def test_a_residual_block() -> None:
    _, graph = folded(build("resnet8", (1, 12, 12), 2))
    where = grids(graph)
    assert where["stages.0.0.conv1"] is None, "it is one operation with its ReLU"
    assert where["stages.0.0.relu1/relu"] == "stages.0.0.relu1/relu"
    assert where["stages.0.0.conv2"] == "stages.0.0.conv2", "a sum follows it"
    assert where["stages.0.0/add"] is None
    pooled = where["head.0/adaptive_avg_pool2d"]
    assert pooled == where["head.1/flatten"] == "head.0/adaptive_avg_pool2d", "a mean has a grid of its own"
    assert logits(graph) == "classifier"
    assert maker(graph, "stages.0.0.relu1/relu") == "stages.0.0.conv1"
    assert maker(graph, "stages.0.0.conv2") == "stages.0.0.conv2"


def test_a_gate_multiplies_grids_of_its_own() -> None:
    _, graph = folded(build("mobilenet_v3_small", (3, 32, 32), 2))
    where = grids(graph)
    gate = "features.1.body.gate"
    assert where[f"{gate}.pool/adaptive_avg_pool2d"] == f"{gate}.pool/adaptive_avg_pool2d"
    assert where[f"{gate}.expand"] == f"{gate}.expand"
    assert where[f"{gate}.sigmoid/hardsigmoid"] == f"{gate}.sigmoid/hardsigmoid"
    assert where[f"{gate}/mul"] == f"{gate}/mul"


def test_a_pool_that_leaves_positions_and_each_part_of_a_split_have_their_inputs_grid(as_model) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv1d(2, 4, 1), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = self.first(x).chunk(2, dim=1)
            pooled = nn.functional.adaptive_avg_pool1d(left * right, 4)
            out: torch.Tensor = self.last(pooled.flatten(1))
            return out

    where = grids(traced(as_model(Net(), (2, 8), 2)))
    assert [where[name] for name in ("getitem", "getitem:1")] == ["first", "first"]
    assert where["adaptive_avg_pool1d"] == where["flatten"] == "mul"


def test_a_relu_with_an_upper_limit_is_one_operation_with_its_layer_too(as_model) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU6(), nn.Linear(3, 3), nn.Hardtanh(-1, 1), nn.Linear(3, 2))
    where = grids(traced(as_model(net, (3,), 2)))
    assert where["0"] is None
    assert where["1/hardtanh"] == "1/hardtanh"
    assert where["2"] == "2", "this one has a lower limit below 0"


def test_what_only_float_layers_touch_needs_no_grid(as_model) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(self.second(self.first(x)))
            return out

    graph = traced(as_model(Net(), (3,), 2))
    assert quantized_tensors(graph, ()) == ["input", "first", "second", "last"]
    assert quantized_tensors(graph, ("first", "second")) == ["second", "last"]
    assert quantized_tensors(graph, ("last",)) == ["input", "first", "second"]
