"""Soft-target distillation (Hinton, Vinyals & Dean 2015, arXiv:1503.02531).

    p(z) = softmax(z / T)                                         z: (batch, classes) logits
    L    = alpha * T^2 * KL(p(teacher) || p(student)) + (1 - alpha) * label loss
The KL divergence is summed over classes and averaged over the batch (``batchmean``; torch's default divides by the
number of classes too). T^2 keeps the gradient's size as T changes. For multi-label tasks each label is a Bernoulli
variable with p(z) = sigmoid(z / T), and the divergence is averaged over labels as the label loss is.
T may be infinite, which is the limit of section 2.1, matching logits of zero mean:
    T^2 KL -> 1 / (2 classes) * sum over classes of (d - mean d)^2       d = student - teacher
    and for several labels  d^2 / 8
T may change over the training, from ``temperature`` towards ``final_temperature``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor
from torch.nn import functional as F

from galenic.compress.distill.answers import logit_cache, sole_teacher
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.compress.schedules import Schedule, Shape
from galenic.record.base import Record
from galenic.record.task import TaskKind
from galenic.training.objective import Pass
from galenic.training.teacher_cache import TeacherCache
from galenic.zoo.model import Model


def soft_target_loss(
    student: Float[Tensor, "b c"], teacher: Float[Tensor, "b c"], temperature: float
) -> Float[Tensor, ""]:
    """T^2 KL(teacher || student) for one class a case."""
    if math.isinf(temperature):
        difference = student - teacher
        return (difference - difference.mean(dim=1, keepdim=True)).square().mean() / 2
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return temperature**2 * divergence


def soft_label_loss(
    student: Float[Tensor, "b c"], teacher: Float[Tensor, "b c"], temperature: float
) -> Float[Tensor, ""]:
    """T^2 KL(teacher || student) for several labels a case, mean over batch and labels."""
    if math.isinf(temperature):
        return (student - teacher).square().mean() / 8
    target, scaled = teacher / temperature, student / temperature
    divergence = target.sigmoid() * (F.logsigmoid(target) - F.logsigmoid(scaled)) + (-target).sigmoid() * (
        F.logsigmoid(-target) - F.logsigmoid(-scaled)
    )
    return temperature**2 * divergence.mean()


class SoftTargetTerm:
    """weight * soft loss, with the teacher behind a cache."""

    layers = ()
    own = None

    def __init__(
        self, cache: TeacherCache, soft: Callable[[Tensor, Tensor, float], Tensor], temperature: Schedule, weight: float
    ) -> None:
        self.cache = cache
        self._soft, self._temperature, self._weight = soft, temperature, weight

    def loss(self, seen: Pass) -> Tensor:
        """The weighted soft loss of one pass."""
        temperature = self._temperature.at(seen.batch.progress)
        return self._weight * self._soft(seen.logits, self.cache.answers(seen.batch), temperature)


class SoftTarget(Record):
    """Learn a teacher's softened outputs beside the labels.

    Attributes:
        temperature: T; 2.5 to 4 for small students (Hinton's table); ``inf`` matches logits.
        schedule: how T changes in the course of the training: not at all, linear, cosine or cubic.
        final_temperature: what it goes to.
        alpha: the weight of the teacher, 1 ignores the labels.
        views: how many augmented views of each row are cached and cycled through.
    """

    name: ClassVar[str] = "soft_target"
    version: ClassVar[int] = 3
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.ANSWERS
    rule: ClassVar[None] = None

    temperature: float = Field(default=4.0, gt=0)
    schedule: Shape = Shape.CONSTANT
    final_temperature: float | None = Field(default=None, gt=0, validate_default=True)
    alpha: float = Field(default=0.9, ge=0, le=1)
    views: int = Field(default=8, ge=1)

    @field_validator("final_temperature")
    @classmethod
    def _fits_the_schedule(cls, final: float | None, info: ValidationInfo) -> float | None:
        schedule, start = info.data.get("schedule"), info.data.get("temperature", 1.0)
        if final is None and schedule not in (Shape.CONSTANT, None):
            raise PydanticCustomError("schedule", "a temperature, since there is a schedule that leads to it")
        if final is not None and schedule is Shape.CONSTANT:
            raise PydanticCustomError("schedule", "schedule = 'linear', 'cosine' or 'cubic' beside it")
        if final is not None and math.isinf(start + final):
            raise PydanticCustomError("schedule", "finite temperatures at both ends: infinity has no way to it")
        return final

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The soft term; the labels weigh 1 - alpha."""
        cache = logit_cache(bench, sole_teacher(bench), self.views)
        soft = soft_label_loss if bench.task.kind is TaskKind.MULTI_LABEL else soft_target_loss
        end = self.temperature if self.final_temperature is None else self.final_temperature
        term = SoftTargetTerm(cache, soft, Schedule(self.temperature, end, self.schedule), self.alpha)
        return Contribution(model, terms=(term,), label_weight=1 - self.alpha, views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The distilled student."""
        return [train_together([self], model, bench)]
