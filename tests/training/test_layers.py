"""Layers by path: found, captured during a pass alone, and named with the nearest path where they are not there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from galenic.record.errors import ModelError
from galenic.training.layers import captured, layer_named, layer_shapes


def net() -> nn.Module:
    features = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.AvgPool2d(2))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(12, 2))


def test_what_modules_return_is_captured_inside_the_block_alone() -> None:
    model, inputs = net(), torch.rand(2, 1, 4, 4)
    with captured(model, ["0.0", "1"]) as seen:
        model(inputs)
    assert set(seen) == {"0.0", "1"}
    assert torch.equal(seen["0.0"], model[0][0](inputs))
    kept = seen["1"]
    model(torch.zeros(2, 1, 4, 4))
    assert seen["1"] is kept, "the hooks are gone"
    assert not any(module._forward_hooks for module in model.modules())


def test_what_is_changed_in_place_behind_a_module_is_captured_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    inputs = torch.tensor([[1.0, -1.0]])
    with captured(model, ["0"]) as seen, torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()
        model(inputs)
    assert seen["0"].tolist() == [[1.0, -1.0]]


def test_shapes_are_those_of_one_row_in_the_order_of_the_pass() -> None:
    model = net().train()
    model[0].eval()
    shapes = layer_shapes(model, torch.zeros(1, 1, 4, 4))
    assert shapes == {"0.0": (3, 4, 4), "0.1": (3, 2, 2), "0": (3, 2, 2), "1": (12,), "2": (2,)}
    assert list(shapes) == ["0.0", "0.1", "0", "1", "2"]
    assert model.training
    assert not model[0].training, "modes are left as they were"


def test_a_layer_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ModelError) as caught:
        layer_named(net(), "0.2", "the student")
    assert "'0.2' of the student" in caught.value.given
    assert "0.0" in caught.value.expected
    with pytest.raises(ModelError, match="one of its modules"), captured(net(), ["blocks.7"]):
        pass
