"""Dense layers alone are rounded; convolutions stay float and are named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from galenic.compress.quantize.dynamic_int8 import DynamicInt8, quantize_dense
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule, TensorRole
from galenic.zoo.model import weights_hash


def test_dense_weights_are_on_their_grids_and_nothing_else_changes(as_model) -> None:
    net = nn.Sequential(
        nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(12, 2), nn.ReLU(), nn.Linear(2, 2)
    )
    model = as_model(net, (2, 4), 2)
    before = weights_hash(model)
    made = quantize_dense(model, DynamicInt8(keep=("5",)).rule)
    assert weights_hash(model) == before
    assert made.quant is not None
    assert [(point.tensor, point.role) for point in made.quant.points] == [("3", TensorRole.WEIGHT)]
    assert made.quant.stays_float == ("0", "5")
    assert torch.equal(made.module[0].weight, net[0].weight)
    integers = made.module[3].weight.detach() / torch.tensor(made.quant.points[0].scale)[:, None]
    torch.testing.assert_close(integers, integers.round(), atol=1e-4, rtol=0)
    assert integers.abs().amax(dim=1).tolist() == pytest.approx([127.0, 127.0])


def test_a_net_without_dense_layers_is_refused(as_model) -> None:
    net = nn.Sequential(nn.Conv1d(2, 2, 4), nn.Flatten())
    with pytest.raises(ModelError, match="without a dense layer to quantize"):
        quantize_dense(as_model(net, (2, 4), 2), QuantRule(arithmetic=Arithmetic.DYNAMIC))
