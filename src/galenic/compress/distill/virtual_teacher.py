"""A teacher made by hand: Tf-KD_reg (Yuan et al., CVPR 2020, arXiv:1909.11723), with label smoothing as a special case.

    u(k) = a for the right class, (1 - a) / (classes - 1) for every other                        a: its probability
    L    = alpha * T^2 * KL(softmax(log u / T) || softmax(z / T)) + (1 - alpha) * label loss      z: (batch, classes)
At T = 1 this is label smoothing with eps = alpha * (1 - a) * classes / (classes - 1), but for a constant; the textbook's
uniform teacher is a = 1 / classes, where eps = alpha. The authors' code softens u itself as if it were logits, which
leaves it all but uniform; here u's logits are log u, as in Hinton's formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from galenic.compress.distill.labels import refuse_rows_without_labels, refuse_several_labels
from galenic.compress.distill.soft_target import soft_target_loss
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.record.base import Record
from galenic.record.errors import RecipeError
from galenic.record.task import Task
from galenic.record.training import Rows
from galenic.training.objective import Pass
from galenic.zoo.model import Model


def virtual_logits(
    labels: Int[Tensor, " b"], classes: int, correct: float, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "b c"]:
    """The logits log u of a teacher that gives ``correct``, in [1 / classes, 1), to the right class of each case."""
    wrong = math.log((1 - correct) / (classes - 1))
    logits = torch.full((len(labels), classes), wrong, dtype=dtype, device=labels.device)
    return logits.scatter_(1, labels[:, None], math.log(correct))


def virtual_teacher_loss(
    student: Float[Tensor, "b c"], labels: Int[Tensor, " b"], correct: float, temperature: float
) -> Float[Tensor, ""]:
    """T^2 KL(virtual teacher || student)."""
    teacher = virtual_logits(labels, student.shape[1], correct, student.dtype)
    return soft_target_loss(student, teacher, temperature)


@dataclass(frozen=True)
class VirtualTeacherTerm:
    """alpha * the loss against the teacher made by hand."""

    config: VirtualTeacher

    layers = ()
    own = None

    def loss(self, seen: Pass) -> Tensor:
        """The weighted loss of one pass."""
        config = self.config
        return config.alpha * virtual_teacher_loss(seen.logits, seen.batch.labels, config.correct, config.temperature)


class VirtualTeacher(Record):
    """Learn the labels as a teacher would say them who is always right and never quite sure.

    Attributes:
        correct: a, the probability of the right class; at least 1 / classes, the paper takes 0.9 or more.
        temperature: T; 20 in the paper, 1 is label smoothing.
        alpha: the weight of the virtual teacher.
    """

    name: ClassVar[str] = "virtual_teacher"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    correct: float = Field(default=0.99, gt=0, lt=1)
    temperature: float = Field(default=20.0, gt=0)
    alpha: float = Field(default=0.1, ge=0, le=1)

    def refuse(self, task: Task, rows: Rows) -> None:
        """Only for tasks with one class a case and a label for every row."""
        refuse_several_labels(task, self.name)
        refuse_rows_without_labels(task, rows, self.name)
        if self.correct * task.outputs < 1 - 1e-9:
            raise RecipeError(
                given=f"{self.name}.correct = {self.correct:g} with {task.outputs} classes",
                expected=f"at least {1 / task.outputs:.4g}, the share of every class of a uniform teacher",
                todo="raise it, so that the right class is not taught to be less likely than the others",
            )

    def contribute(self, model: Model, bench: Bench) -> Contribution:  # noqa: ARG002 - the protocol's signature
        """The term of the virtual teacher; the labels weigh 1 - alpha."""
        return Contribution(model, terms=(VirtualTeacherTerm(self),), label_weight=1 - self.alpha)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained model."""
        return [train_together([self], model, bench)]
