"""N:M sparsity (Mishra et al. 2021, arXiv:2104.08378): of every m weights along the input channels the n largest stay.

The pattern of NVIDIA's sparse tensor cores is 2:4. Layers whose input channels m does not divide (a first convolution, depthwise
ones) stay dense, and are named in the notes. One shot: fine-tuning is a phase of its own, in which the masks are held.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from galenic.compress.masks import apply_masks, masks_before, prunable, refuse_pruning, sparse_model
from galenic.compress.method import Bench, TeacherNeed
from galenic.compress.prune.magnitude import WeightScore, scores
from galenic.compress.thresholds import keep_n_of_m
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.zoo.model import Model


def prune_n_of_m(model: Model, n: int, m: int, keep: tuple[str, ...] = ()) -> Model:
    """A copy of the model in which of every m weights along a layer's inputs n are left.

    Raises:
        ModelError: the model is quantized, a pattern matches no layer, or m divides no layer's input channels.
    """
    refuse_pruning(model, f"{n}:{m} pruning")
    copy = replace(model, module=deepcopy(model.module))
    every = prunable(copy, keep)
    weights = {name: weight for name, weight in every.items() if weight.shape[1] % m == 0}
    if not weights:
        raise ModelError(
            given=f"{n}:{m} pruning of {model.spec.architecture}, no layer of which has a multiple of {m} inputs",
            expected="input channels that m divides",
            todo="choose a smaller m, or magnitude pruning",
        )
    found = scores(weights, masks_before(copy, weights), WeightScore.MAGNITUDE, torch.Generator())
    apply_masks(copy.module, {name: keep_n_of_m(score, n, m) for name, score in found.items()})
    dense = [name.removesuffix(".weight") for name in every if name not in weights]
    notes = [f"{n}:{m} does not fit, and they stay dense: {', '.join(dense)}"] if dense else []
    return sparse_model(copy, weights, notes=notes)


class NOfM(Record):
    """Of every m weights in a row keep the n largest, once; the others stay zero in every phase that follows.

    Attributes:
        n, m: 2:4 is what NVIDIA's sparse tensor cores take.
        keep: patterns of module paths that are left alone.
    """

    name: ClassVar[str] = "n_of_m"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    n: int = Field(default=2, ge=1)
    m: int = Field(default=4, ge=2)
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fewer(self) -> NOfM:
        if self.n >= self.m:
            raise PydanticCustomError("n_of_m", "n smaller than m")
        return self

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a quantized model, and for a pattern that matches no layer."""
        refuse_pruning(model, self.name)
        prunable(model, self.keep)

    def apply(self, model: Model, bench: Bench) -> list[Model]:  # noqa: ARG002 - the protocol's signature
        """The pruned model."""
        return [replace(prune_n_of_m(model, self.n, self.m, self.keep), lineage=(*model.lineage, self.name))]
