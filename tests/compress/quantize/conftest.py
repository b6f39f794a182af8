"""Small models whose numbers are known, and rows for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from torch import nn

from galenic.compress.quantize.calibrate import Batches, in_batches
from galenic.record.model import ModelSpec
from galenic.zoo.model import Model
from known_net import known_net


@pytest.fixture
def as_model() -> Callable[..., Model]:
    def make(module: nn.Module, shape: tuple[int, ...], outputs: int) -> Model:
        spec = ModelSpec(architecture="made here", input_shape=shape, outputs=outputs)
        return Model(module.eval(), spec, ("made here",))

    return make


@pytest.fixture
def known(as_model: Callable[..., Model]) -> Model:
    """x -> relu(W0 x + b0) -> W2 (.) + b2 with weights that one can compute with."""
    return as_model(known_net(), (2,), 3)


@pytest.fixture
def batches() -> Callable[..., Batches]:
    """Seeded normal rows, in batches."""

    def make(n: int, shape: tuple[int, ...], seed: int = 0) -> Batches:
        return in_batches(np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32))

    return make
