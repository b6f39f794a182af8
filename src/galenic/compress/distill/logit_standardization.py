"""Logit standardization (LSKD; Sun et al., CVPR 2024, arXiv:2403.01427).

    Z(z) = (z - mean z) / std z         over the classes of a case, std with 1 / classes          z: (batch, classes)
    L    = weight * T^2 * KL(softmax(Z(teacher) / T) || softmax(Z(student) / T)) + label weight * label loss
The student is free in the shift and scale of its logits: T is a multiple of each case's own spread. T is the paper's
base temperature tau. Z lies within sqrt(classes - 1). With two classes Z is only a sign, whose gradient is zero, so they
are refused.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from galenic.compress.distill.answers import logit_cache, sole_teacher
from galenic.compress.distill.labels import refuse_several_labels, refuse_two_classes
from galenic.compress.distill.soft_target import SoftTargetTerm, soft_target_loss
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.compress.schedules import constant
from galenic.record.base import Record
from galenic.record.task import Task
from galenic.record.training import Rows
from galenic.zoo.model import Model

LEAST_SPREAD = 1e-7
"""Added to the standard deviation, as in the authors' code, for a net that says the same of every class."""


def standardized(logits: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
    """Z-scores over classes: mean 0 and standard deviation 1 in every row."""
    spread = logits.std(dim=1, correction=0, keepdim=True)
    return (logits - logits.mean(dim=1, keepdim=True)) / (spread + LEAST_SPREAD)


def standardized_loss(
    student: Float[Tensor, "b c"], teacher: Float[Tensor, "b c"], temperature: float
) -> Float[Tensor, ""]:
    """T^2 KL(teacher || student) of z-scores."""
    return soft_target_loss(standardized(student), standardized(teacher), temperature)


class LogitStandardization(Record):
    """Learn how a teacher's logits relate to each other, not how large they are.

    Attributes:
        temperature: the base temperature, in standard deviations of the logits; ``inf`` matches z-scores.
        weight: of the teacher; the paper's ratio to the labels is 9 to 0.1.
        label_weight: of the label loss.
        views: how many augmented views of each row are cached and cycled through.
    """

    name: ClassVar[str] = "logit_standardization"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.ANSWERS
    rule: ClassVar[None] = None

    temperature: float = Field(default=2.0, gt=0)
    weight: float = Field(default=9.0, gt=0, allow_inf_nan=False)
    label_weight: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    views: int = Field(default=8, ge=1)

    def refuse(self, task: Task, _: Rows) -> None:
        """Only for tasks of three classes or more, one a case."""
        refuse_several_labels(task, self.name)
        refuse_two_classes(task, self.name, "a z-score is only a sign")

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The term of z-scores and the weight of the labels."""
        cache = logit_cache(bench, sole_teacher(bench), self.views)
        term = SoftTargetTerm(cache, standardized_loss, constant(self.temperature), self.weight)
        return Contribution(model, terms=(term,), label_weight=self.label_weight, views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The distilled student."""
        return [train_together([self], model, bench)]
