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
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.compress.method import Bench, Contribution, Teacher, task_loss, train_together
from galenic.record.base import Record, content_hash
from galenic.record.errors import ModelError
from galenic.record.task import Task, TaskKind
from galenic.training import augment
from galenic.training.objective import Batch
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


class SoftTargetObjective:
    """alpha * soft loss + (1 - alpha) * label loss, with the teacher behind a cache."""

    own = None

    def __init__(
        self,
        cache: TeacherCache,
        hard: nn.Module,
        soft: Callable[[Tensor, Tensor, float], Tensor],
        temperature: float,
        alpha: float,
    ) -> None:
        self.cache = cache
        self._hard, self._soft, self._temperature, self._alpha = hard, soft, temperature, alpha

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The weighted sum for one batch."""
        logits = model(batch.inputs).float()
        soft = self._soft(logits, self.cache.logits(batch), self._temperature)
        if self._alpha == 1:
            return soft
        hard: Tensor = self._hard.to(logits.device)(logits, batch.labels)
        return self._alpha * soft + (1 - self._alpha) * hard


class SoftTarget(Record):
    """Learn a teacher's softened outputs beside the labels.

    Attributes:
        temperature: T; 2.5 to 4 for small students (Hinton's table).
        alpha: the weight of the teacher, 1 ignores the labels.
        views: how many augmented views of each row are cached and cycled through.
    """

    name: ClassVar[str] = "soft_target"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = True
    rule: ClassVar[None] = None

    temperature: float = Field(default=4.0, gt=0)
    alpha: float = Field(default=0.9, ge=0, le=1)
    views: int = Field(default=8, ge=1)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The objective, on a cache that lies in the stage's folder."""
        assert bench.training is not None  # train_together has refused it
        teacher = matching_teacher(bench)
        shape = (self.views, len(bench.task.train), bench.task.outputs)
        cache = TeacherCache(bench.folder / f"{_cache_name(teacher, bench, shape)}.npy", shape, teacher.predict)
        soft = soft_label_loss if bench.task.kind is TaskKind.MULTI_LABEL else soft_target_loss
        hard = task_loss(bench.task, bench.training)
        objective = SoftTargetObjective(cache, hard, soft, self.temperature, self.alpha)
        return Contribution(model, objective=objective, views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The distilled student."""
        return [train_together([self], model, bench)]


def matching_teacher(bench: Bench) -> Teacher:
    """The bench's teacher, if it answers for the task's classes.

    Raises:
        ModelError: there is none, or it has other classes.
    """
    if bench.teacher is None:
        raise ModelError(
            given="a distillation without a teacher",
            expected="a teacher (the recipe's reference, or the teacher argument)",
            todo="give one, or use the method 'supervised'",
        )
    refuse_other_classes(bench.teacher.name, bench.teacher.classes, bench.task)
    return bench.teacher


def refuse_other_classes(name: str, classes: tuple[str, ...], task: Task) -> None:
    """Raise ModelError where a teacher's number of classes is not the task's."""
    if len(classes) != task.outputs:
        raise ModelError(
            given=f"the teacher {name} has {len(classes)} classes",
            expected=f"{task.outputs}, as the task {task.name} ({', '.join(task.classes)})",
            todo="take a teacher that was trained for this task, or map its outputs first",
        )


def _cache_name(teacher: Teacher, bench: Bench, shape: tuple[int, int, int]) -> str:
    assert bench.training is not None
    views = [bench.seed, bench.training.augment, bench.training.flips.value, augment.VERSION]
    return "teacher-" + content_hash([teacher.sha256, bench.task.split_hashes["train"], views, shape])[:16]
