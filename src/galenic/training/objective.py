"""What a training minimises: a sum of terms, each a loss that sees one forward pass of the model and its batch.

hard labels, one class a case     cross entropy with class weights w and label smoothing
hard labels, several a case       binary cross entropy, mean over labels, with positive weights
Terms from several methods share the one pass: soft targets, features and attention add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from galenic.record.errors import ModelError
from galenic.record.task import TaskKind
from galenic.record.training import ClassWeighting
from galenic.training.layers import captured

Inputs = Tensor | Mapping[str, Tensor]
"""What a model is called with: (batch, *input_shape), or for text a dictionary of (batch, token) tensors."""


@dataclass(frozen=True)
class Batch:
    """Rows of the training split, as the model sees them.

    Attributes:
        inputs: (batch, *input_shape) float32, augmented; text is a dictionary of token tensors.
        labels: (batch,) int64, or (batch, classes) float32 for multi-label tasks; -1 where a row has none.
        rows: (batch,) int64 numpy, which rows of the training data these are.
        view: which view of each row this is; equal (row, view) means equal input.
        progress: the share of the training's epochs that are over, in [0, 1).
    """

    inputs: Inputs
    labels: Tensor
    rows: np.ndarray
    view: int
    progress: float = 0.0


@dataclass(frozen=True)
class Pass:
    """One forward pass of the model in training.

    Attributes:
        logits: (batch, classes) float32.
        layers: what the modules that a term asked for returned, by module path.
        batch: what went in.
    """

    logits: Tensor
    layers: Mapping[str, Any]
    batch: Batch


class Term(Protocol):
    """A loss over a pass, weighted already.

    ``layers`` are the paths of the student's modules whose outputs it reads. ``own`` holds weights that are trained with
    the model and dropped afterwards (regressors), or None.
    """

    @property
    def layers(self) -> Sequence[str]:
        """Module paths of the student."""

    @property
    def own(self) -> nn.Module | None:
        """Weights of the term itself."""

    def loss(self, seen: Pass) -> Tensor:
        """A scalar."""


class Objective:
    """The sum of some terms; it runs the model once."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(terms)
        self._layers = tuple(dict.fromkeys(path for term in terms for path in term.layers))
        owned = [term.own for term in terms if term.own is not None]
        self.own = nn.ModuleList(owned) if owned else None

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The scalar to minimise for one batch.

        Raises:
            ModelError: the model never calls a layer that a term reads.
        """
        with captured(model, self._layers) as layers:
            logits = model(batch.inputs)
        for path in self._layers:
            if path not in layers:
                raise _not_called(path)
        seen = Pass(logits.float(), layers, batch)
        return torch.stack([term.loss(seen) for term in self.terms]).sum()


def _not_called(path: str) -> ModelError:
    return ModelError(
        given=f"the layer '{path}', whose output is to be compared, but which the model in training does not call",
        expected="a layer with an output of its own: a batch norm that was folded takes that of the layer before it",
        todo="name the module around it, or the one behind it",
    )


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


class LabelTerm:
    """The label loss of the model's logits, times a weight."""

    layers = ()
    own = None

    def __init__(self, loss: nn.Module, weight: float = 1.0) -> None:
        self._loss, self._weight = loss, weight

    def loss(self, seen: Pass) -> Tensor:
        """Weight * label loss."""
        value: Tensor = self._loss.to(seen.logits.device)(seen.logits, seen.batch.labels)
        return self._weight * value
