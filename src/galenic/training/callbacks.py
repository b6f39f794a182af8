"""Callbacks: what happens between the loop's steps, given as plain functions.

The loop calls each hook with the training's state. RigL, gradual pruning and observer freezing are callbacks; their
tensors in ``remembered`` are stored with every checkpoint and put back, in place, when a killed training goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class State:
    """What a callback may see and change.

    Attributes:
        model: in training mode; its gradients are dense and unscaled when ``gradients_ready`` is called.
        optimizer: its state may be reset for weights that were dropped or grown.
        epoch, step: counted from zero.
        epochs, steps: of the whole training.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int
    step: int
    epochs: int
    steps: int


def nothing(state: State) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Callback:
    """Functions that the loop calls, each with the State.

    Attributes:
        epoch_starts: before the first step of an epoch.
        gradients_ready: after backward, before the optimizer's step.
        step_taken: after the optimizer's step.
        epoch_ended: after the last step of an epoch, before the checkpoint is written.
        trained: after the last epoch, when the model has the weights that it ends with (their average).
        remembered: tensors that a resumed training must find again.
    """

    epoch_starts: Callable[[State], None] = nothing
    gradients_ready: Callable[[State], None] = nothing
    step_taken: Callable[[State], None] = nothing
    epoch_ended: Callable[[State], None] = nothing
    trained: Callable[[State], None] = nothing
    remembered: Mapping[str, Tensor] = field(default_factory=dict)
