"""What a training minimises: an objective sees the model and a batch and returns a scalar.

hard labels, one class a case     cross entropy with class weights w and label smoothing
hard labels, several a case       binary cross entropy, mean over labels, with positive weights
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from galenic.record.task import TaskKind
from galenic.record.training import ClassWeighting


@dataclass(frozen=True)
class Batch:
    """Rows of the training split, as the model sees them.

    Attributes:
        inputs: (batch, *input_shape) float32, augmented.
        labels: (batch,) int64, or (batch, classes) float32 for multi-label tasks.
        rows: (batch,) int64 numpy, which rows of the training split these are.
        view: which view of each row this is; equal (row, view) means equal input.
    """

    inputs: Tensor
    labels: Tensor
    rows: np.ndarray
    view: int


class Objective(Protocol):
    """A loss over a batch.

    ``own`` holds weights that are trained with the model and dropped afterwards (regressors), or None.
    """

    @property
    def own(self) -> nn.Module | None:
        """Weights of the objective itself."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The scalar to minimise; it runs the model's forward pass itself."""


def label_loss(
    kind: TaskKind, labels: np.ndarray, classes: int, weighting: ClassWeighting, label_smoothing: float
) -> nn.Module:
    """The loss of hard labels for a task, as a module of (logits, labels).

    Args:
        kind: of the task; ordinal grades are trained as classes.
        labels: of the training split, for the class weights.
        classes: the number of logits.
        weighting: balanced gives w_c = n / (classes * n_c), or n_negative / n_positive per label for multi-label tasks.
        label_smoothing: in [0, 1), for one class a case.
    """
    weights = class_weights(kind, labels, classes) if weighting is ClassWeighting.BALANCED else None
    if kind is TaskKind.MULTI_LABEL:
        return nn.BCEWithLogitsLoss(pos_weight=weights)
    return nn.CrossEntropyLoss(weight=weights, label_smoothing=label_smoothing)


def class_weights(kind: TaskKind, labels: np.ndarray, classes: int) -> Float[Tensor, " classes"]:
    """Balanced weights: n / (classes * n_c); for multi-label tasks n_negative / n_positive of each label."""
    if kind is TaskKind.MULTI_LABEL:
        positive = labels.sum(axis=0).clip(min=1)
        return torch.tensor((len(labels) - positive) / positive, dtype=torch.float32)
    counts = np.bincount(labels, minlength=classes).clip(min=1)
    return torch.tensor(len(labels) / (classes * counts), dtype=torch.float32)


class HardLabels:
    """Plain supervised training."""

    own = None

    def __init__(self, loss: nn.Module) -> None:
        self._loss = loss

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The label loss of the model's logits."""
        value: Tensor = self._loss.to(batch.inputs.device)(model(batch.inputs).float(), batch.labels)
        return value
