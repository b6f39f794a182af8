"""Small models whose numbers are known, and rows for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.calibrate import Batches, in_batches
from galenic.record.model import ModelSpec
from galenic.zoo.model import Model


@pytest.fixture
def as_model() -> Callable[..., Model]:
    def make(module: nn.Module, shape: tuple[int, ...], outputs: int) -> Model:
        spec = ModelSpec(architecture="made here", input_shape=shape, outputs=outputs)
        return Model(module.eval(), spec, ("made here",))

    return make


@pytest.fixture
def known(as_model: Callable[..., Model]) -> Model:
    """x -> relu(W0 x + b0) -> W2 (.) + b2 with weights that one can compute with."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 0.25]]))
        net[0].bias.copy_(torch.tensor([0.0, 0.5]))
        net[2].weight.copy_(torch.tensor([[1.0, 0.0], [0.25, -4.0], [-0.5, 2.0]]))
        net[2].bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    return as_model(net, (2,), 3)


@pytest.fixture
def batches() -> Callable[..., Batches]:
    """Seeded normal rows, in batches."""

    def make(n: int, shape: tuple[int, ...], seed: int = 0) -> Batches:
        return in_batches(np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32))

    return make
