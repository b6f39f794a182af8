"""Magnitude pruning in one shot (Han et al., NeurIPS 2015, arXiv:1506.02626): the smallest weights become zero.

    score = |w|       mask = the weights that a threshold keeps (thresholds.py)       w <- mask * w
``random`` is the control: the same number of weights, drawn. Fine-tuning is a phase of its own, in which the masks are held.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from enum import StrEnum
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from galenic.compress.masks import apply_masks, masks_before, prunable, refuse_pruning, sparse_model
from galenic.compress.method import Bench, TeacherNeed
from galenic.compress.thresholds import Threshold, chosen
from galenic.record.base import Record
from galenic.zoo.model import Model


class WeightScore(StrEnum):
    """What a weight is worth."""

    MAGNITUDE = "magnitude"
    RANDOM = "random"


def scores(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], score: WeightScore, generator: torch.Generator
) -> dict[str, Float[Tensor, "..."]]:
    """The score of every weight; -inf where it was removed before.

    Args:
        weights: by name.
        masks: what an earlier pruning left.
        score: what it is worth.
        generator: draws the control.
    """
    found = {}
    for name, weight in weights.items():
        value = (
            weight.detach().abs() if score is WeightScore.MAGNITUDE else torch.rand(weight.shape, generator=generator)
        )
        found[name] = value.masked_fill(~masks[name].to(value.device), -torch.inf)
    return found


def prune_magnitude(
    model: Model, sparsity: float, threshold: Threshold, score: WeightScore, keep: tuple[str, ...] = (), seed: int = 0
) -> Model:
    """A copy of the model in which a share of the weights is zero.

    Args:
        model: float; what was removed from it before stays removed, and counts.
        sparsity: the share of the prunable weights that are zero afterwards.
        threshold: how they are chosen by their scores.
        score: what a weight is worth.
        keep: patterns of module paths that are left alone.
        seed: of the random score.

    Raises:
        ModelError: the model is quantized, a pattern matches no layer, or a layer would lose all its weights.
    """
    refuse_pruning(model, "pruning")
    copy = replace(model, module=deepcopy(model.module))
    weights = prunable(copy, keep)
    found = scores(weights, masks_before(copy, weights), score, torch.Generator().manual_seed(seed))
    apply_masks(copy.module, chosen(found, sparsity, threshold))
    return sparse_model(copy, weights)


class MagnitudePruning(Record):
    """Set the smallest weights to zero, once; they stay zero in every phase that follows.

    Attributes:
        sparsity: the share of the weights that go, between 0 and 1.
        threshold: global, deviation, uniform, erk or top_k: how they are spread over layers.
        score: magnitude, or random as the control.
        keep: patterns of module paths that are left alone.
    """

    name: ClassVar[str] = "magnitude"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    sparsity: float = Field(default=0.8, gt=0, lt=1)
    threshold: Threshold = Threshold.GLOBAL
    score: WeightScore = WeightScore.MAGNITUDE
    keep: tuple[str, ...] = ()

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a quantized model, and for a pattern that matches no layer."""
        refuse_pruning(model, self.name)
        prunable(model, self.keep)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The pruned model."""
        pruned = prune_magnitude(model, self.sparsity, self.threshold, self.score, self.keep, bench.seed)
        return [replace(pruned, lineage=(*model.lineage, self.name))]
