"""Gradual magnitude pruning (Zhu & Gupta 2017, arXiv:1710.01878): the smallest weights go while the net is trained.

    s(t) = s_end + (s_start - s_end) (1 - (t - t0) / (t1 - t0))^3         t0 <= t <= t1
Every few steps the weights with the lowest |w| are removed until the share s(t) is zero. They get no gradient and never come back;
from t1 on the masks stay and the rest is trained to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from galenic.compress.masks import apply_masks, hold, masks_before, prunable, refuse_pruning, sparse_model
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.compress.prune.magnitude import WeightScore, scores
from galenic.compress.schedules import Schedule, Shape
from galenic.compress.sparse_work import Work
from galenic.compress.thresholds import Threshold, chosen
from galenic.record.base import Record
from galenic.training.callbacks import Callback, State
from galenic.zoo.model import Model


@dataclass(frozen=True)
class Ramp:
    """When how much is removed, in shares of the training.

    Attributes:
        sparsity: over the ramp.
        begin, end: where it lies.
        every_steps: how often the masks are made anew.
    """

    sparsity: Schedule
    begin: float
    end: float
    every_steps: int

    def due(self, step: int, steps: int) -> float | None:
        """The sparsity to reach before this step (counted from zero), or None where the masks stay as they are."""
        first, last = round(self.begin * steps), round(self.end * steps)
        if step == last:
            return self.sparsity.end
        if not first <= step < last or (step - first) % self.every_steps:
            return None
        return self.sparsity.at((step - first) / (last - first))


class GradualMagnitude(Record):
    """Remove the smallest weights step by step, in one training.

    Attributes:
        sparsity: the share of the weights that are gone in the end, between 0 and 1.
        initial: the share that goes at once.
        shape: of the way between: cubic, linear or cosine.
        begin, end: the shares of the training between which weights go.
        every_steps: how many steps lie between two removals.
        threshold: global, deviation, uniform, erk or top_k: how they are spread over layers.
        keep: patterns of module paths that are left alone.
    """

    name: ClassVar[str] = "gradual_magnitude"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    sparsity: float = Field(default=0.8, gt=0, lt=1)
    initial: float = Field(default=0.0, ge=0, lt=1)
    shape: Shape = Shape.CUBIC
    begin: float = Field(default=0.0, ge=0, lt=1)
    end: float = Field(default=0.7, gt=0, lt=1)
    every_steps: int = Field(default=50, ge=1)
    threshold: Threshold = Threshold.GLOBAL
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> GradualMagnitude:
        if self.initial >= self.sparsity or self.begin >= self.end or self.shape is Shape.CONSTANT:
            raise PydanticCustomError("ramp", "initial < sparsity, begin < end and a shape that is not constant")
        return self

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a quantized model, and for a pattern that matches no layer."""
        refuse_pruning(model, self.name)
        prunable(model, self.keep)

    def contribute(self, model: Model, bench: Bench) -> Contribution:  # noqa: ARG002 - the protocol's signature
        """A callback that removes weights and holds what is removed."""
        self.refuse_model(model)
        names = list(prunable(model, self.keep))
        ramp = Ramp(Schedule(self.initial, self.sparsity, self.shape), self.begin, self.end, self.every_steps)
        masks, work = masks_before(model, names), Work(model, names)

        def step(module: nn.Module, sparsity: float) -> None:
            weights = {name: module.get_parameter(name) for name in names}
            found = scores(weights, masks, WeightScore.MAGNITUDE, torch.Generator())
            update(masks, chosen(found, sparsity, self.threshold))
            apply_masks(module, masks)

        def finish(trained: Model) -> Model:
            return sparse_model(trained, names, training_flops=work.share)

        return Contribution(model, callbacks=(pruning(ramp, step), hold(masks), work.counting(masks)), finish=finish)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The model that was pruned as it was trained."""
        return [train_together([self], model, bench)]


def pruning(ramp: Ramp, step: Callable[[nn.Module, float], None]) -> Callback:
    """Prune to the ramp's sparsity, before the epoch's first step and after each step."""

    def look(state: State) -> None:
        due = ramp.due(state.step, state.steps)
        if due is not None and due > 0:
            step(state.model, due)

    def starts(state: State) -> None:
        if state.step == 0:
            look(state)

    return Callback(epoch_starts=starts, step_taken=look)


def update(masks: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """Make the masks what was found, in place, but let no weight come back."""
    for name, mask in masks.items():
        mask.logical_and_(found[name].to(mask.device))
