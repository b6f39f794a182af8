"""Soft-target distillation (Hinton, Vinyals & Dean 2015, arXiv:1503.02531).

    p(z) = softmax(z / T)                                         z: (batch, classes) logits
    L    = alpha * T^2 * KL(p(teacher) || p(student)) + (1 - alpha) * label loss
The KL divergence is summed over classes and averaged over the batch (``batchmean``; torch's default divides by the
number of classes too). T^2 keeps the gradient's size as T changes. For multi-label tasks each label is a Bernoulli
variable with p(z) = sigmoid(z / T), and the divergence is averaged over labels as the label loss is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from galenic.compress.distill.answers import logit_cache, sole_teacher
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.record.base import Record
from galenic.record.task import TaskKind
from galenic.training.objective import Pass
from galenic.training.teacher_cache import TeacherCache
from galenic.zoo.model import Model


def soft_target_loss(
    student: Float[Tensor, "b c"], teacher: Float[Tensor, "b c"], temperature: float
) -> Float[Tensor, ""]:
    """T^2 KL(teacher || student) for one class a case."""
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
    target, scaled = teacher / temperature, student / temperature
    divergence = target.sigmoid() * (F.logsigmoid(target) - F.logsigmoid(scaled)) + (-target).sigmoid() * (
        F.logsigmoid(-target) - F.logsigmoid(-scaled)
    )
    return temperature**2 * divergence.mean()


class SoftTargetTerm:
    """alpha * soft loss, with the teacher behind a cache."""

    layers = ()
    own = None

    def __init__(
        self, cache: TeacherCache, soft: Callable[[Tensor, Tensor, float], Tensor], temperature: float, alpha: float
    ) -> None:
        self.cache = cache
        self._soft, self._temperature, self._alpha = soft, temperature, alpha

    def loss(self, seen: Pass) -> Tensor:
        """The weighted soft loss of one pass."""
        return self._alpha * self._soft(seen.logits, self.cache.answers(seen.batch), self._temperature)


class SoftTarget(Record):
    """Learn a teacher's softened outputs beside the labels.

    Attributes:
        temperature: T; 2.5 to 4 for small students (Hinton's table).
        alpha: the weight of the teacher, 1 ignores the labels.
        views: how many augmented views of each row are cached and cycled through.
    """

    name: ClassVar[str] = "soft_target"
    version: ClassVar[int] = 2
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.ANSWERS
    rule: ClassVar[None] = None

    temperature: float = Field(default=4.0, gt=0)
    alpha: float = Field(default=0.9, ge=0, le=1)
    views: int = Field(default=8, ge=1)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The soft term; the labels weigh 1 - alpha."""
        cache = logit_cache(bench, sole_teacher(bench), self.views)
        soft = soft_label_loss if bench.task.kind is TaskKind.MULTI_LABEL else soft_target_loss
        term = SoftTargetTerm(cache, soft, self.temperature, self.alpha)
        return Contribution(model, terms=(term,), label_weight=1 - self.alpha, views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The distilled student."""
        return [train_together([self], model, bench)]
