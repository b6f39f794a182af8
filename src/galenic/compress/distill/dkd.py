"""Decoupled knowledge distillation (Zhao et al., CVPR 2022, arXiv:2203.08679).

    b = (p_t, 1 - p_t)                  p(z) = softmax(z / T), t the right class           z: (batch, classes) logits
    q = softmax of z / T over the classes other than t
    TCKD = KL(b(teacher) || b(student))                 how sure the teacher is of the right class
    NCKD = KL(q(teacher) || q(student))                 how it ranks the others, whatever is left for them
    L    = warm-up * T^2 * (alpha * TCKD + beta * NCKD) + label weight * label loss
KL(p(teacher) || p(student)) = TCKD + (1 - p_t(teacher)) NCKD, so plain distillation weighs NCKD least where the teacher
is surest; here the two are weighed by hand. Divergences are summed over classes and averaged over the batch. The warm-up
is that of the authors' code: min(1, e / w) in the e-th epoch (from one) with w epochs of warm-up. With two classes NCKD
is zero, so they are refused, as are rows without labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from galenic.compress.distill.answers import logit_cache, sole_teacher
from galenic.compress.distill.labels import refuse_rows_without_labels, refuse_several_labels, refuse_two_classes
from galenic.compress.distill.logit_standardization import standardized
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.compress.schedules import warm_up
from galenic.record.base import Record
from galenic.record.task import Task
from galenic.record.training import Rows
from galenic.training.objective import Pass
from galenic.training.teacher_cache import TeacherCache
from galenic.zoo.model import Model


def decoupled(
    student: Float[Tensor, "b c"], teacher: Float[Tensor, "b c"], labels: Int[Tensor, " b"], temperature: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(TCKD, NCKD), without T^2."""
    (student_binary, student_rest), (teacher_binary, teacher_rest) = (
        _split(logits / temperature, labels) for logits in (student, teacher)
    )
    return _divergence(student_binary, teacher_binary), _divergence(student_rest, teacher_rest)


def dkd_loss(
    student: Float[Tensor, "b c"],
    teacher: Float[Tensor, "b c"],
    labels: Int[Tensor, " b"],
    temperature: float,
    target_weight: float,
    non_target_weight: float,
) -> Float[Tensor, ""]:
    """T^2 (target_weight * TCKD + non_target_weight * NCKD)."""
    target, non_target = decoupled(student, teacher, labels, temperature)
    return temperature**2 * (target_weight * target + non_target_weight * non_target)


def _split(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of right against wrong, (batch, 2), and those of the wrong classes, (batch, classes - 1)."""
    wrong = torch.ones_like(logits, dtype=torch.bool).scatter_(1, labels[:, None], False)
    rest = logits[wrong].view(len(logits), -1)
    right = logits.gather(1, labels[:, None])
    return torch.cat([right, rest.logsumexp(dim=1, keepdim=True)], dim=1), rest


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    return F.kl_div(
        F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1), reduction="batchmean", log_target=True
    )


@dataclass(frozen=True)
class DKDTerm:
    """The decoupled loss of a pass, with the teacher behind a cache; ``epoch_share`` is 1 / epochs."""

    config: DKD
    cache: TeacherCache
    epoch_share: float

    layers = ()
    own = None

    def loss(self, seen: Pass) -> Tensor:
        """The weighted, warmed-up loss."""
        student, teacher = seen.logits, self.cache.answers(seen.batch)
        if self.config.standardize:
            student, teacher = standardized(student), standardized(teacher)
        loss = dkd_loss(
            student,
            teacher,
            seen.batch.labels,
            self.config.temperature,
            self.config.target_weight,
            self.config.non_target_weight,
        )
        return warm_up(seen.batch.progress + self.epoch_share, self.config.warmup) * loss


class DKD(Record):
    """Learn a teacher's sureness of the right class and its ranking of the others with a weight for each.

    Attributes:
        temperature: T.
        target_weight: the paper's alpha, of TCKD.
        non_target_weight: the paper's beta, of NCKD; the paper takes more where the teacher is surer (1 to 10).
        label_weight: of the label loss.
        warmup: the share of the training during which the weights of both rise; the paper's is 20 of 240 epochs.
        standardize: whether z-scores of the logits are compared (see ``logit_standardization``).
        views: how many augmented views of each row are cached and cycled through.
    """

    name: ClassVar[str] = "dkd"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.ANSWERS
    rule: ClassVar[None] = None

    temperature: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    target_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    non_target_weight: float = Field(default=8.0, ge=0, allow_inf_nan=False)
    label_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    warmup: float = Field(default=20 / 240, ge=0, le=1)
    standardize: bool = False
    views: int = Field(default=8, ge=1)

    def refuse(self, task: Task, rows: Rows) -> None:
        """Only for tasks of three classes or more, one a case, with a label for every row."""
        refuse_several_labels(task, self.name)
        refuse_two_classes(task, self.name, "there is one wrong class, and nothing to be said among the wrong ones")
        refuse_rows_without_labels(task, rows, self.name)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The decoupled term and the weight of the labels."""
        cache = logit_cache(bench, sole_teacher(bench), self.views)
        epochs = bench.training.epochs if bench.training else 1
        term = DKDTerm(self, cache, 1 / epochs)
        return Contribution(model, terms=(term,), label_weight=self.label_weight, views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The distilled student."""
        return [train_together([self], model, bench)]
