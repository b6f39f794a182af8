"""Several teachers at once, each with a weight; from their answers alone, so that teachers of any families combine.

    p_k(x)  = softmax(z_k / T)                           z_k: (batch, classes) logits of teacher k of K
    mix     = sum_k w_k p_k                              w_k >= 0, sum_k w_k = 1
    L       = alpha * T^2 * KL(mix || p(student)) + (1 - alpha) * label loss
The gradient is that of sum_k w_k KL(p_k || p(student)), which some papers write. The weights:
    average      w_k = 1 / K                             (You et al., KDD 2017)
    validation   w_k ~ max(AUC_k - 1/2, 0)               the macro AUC of teacher k on validation, above chance
    confidence   w_k = (1 - exp(l_k) / sum_j exp(l_j)) / (K - 1)     of each case: l_k = cross entropy of teacher k with the
                 label at T = 1 (CA-MKD, Zhang et al. 2022, arXiv:2201.00007): who is right weighs more
    attention    w = softmax over k of < key_k, tanh(A p(student) + a) > / sqrt(d)     of each case, learned, in the spirit
                 of AMTML-KD (Liu et al. 2020, arXiv:2103.04062)
The attention's own weights (keys, A and a) learn by the cross entropy of the mix at T = 1 with the labels, and by that
alone: the student learns from the mix as it is, so no teacher is preferred for being easy to follow. They begin as the average
and are dropped afterwards. Where a case has several labels p is a sigmoid, and confidence is weighed for each label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.compress.distill.answers import logit_cache, refuse_other_classes
from galenic.compress.distill.labels import refuse_rows_without_labels
from galenic.compress.distill.soft_target import soft_label_loss, soft_target_loss
from galenic.compress.method import Bench, Contribution, Teacher, TeacherNeed, task_loss, train_together
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.record.task import Task, TaskKind
from galenic.record.training import Rows
from galenic.training.objective import Batch, Pass, Term
from galenic.training.teacher_cache import TeacherCache
from galenic.zoo.model import Model

CHANCE_AUC = 0.5
ATTENTION_WIDTH = 16


class Weighting(StrEnum):
    """How teachers are weighed against each other."""

    AVERAGE = "average"
    VALIDATION = "validation"
    CONFIDENCE = "confidence"
    ATTENTION = "attention"


def mix_classes(
    teachers: Float[Tensor, "k b c"], weights: Float[Tensor, "k ..."], temperature: float
) -> Float[Tensor, "b c"]:
    """Logits whose softmax at this temperature is the weighted mean of the teachers' softmax at it.

    ``weights``: (k, 1, 1), the same for all cases, or (k, batch, 1).
    """
    return temperature * (F.log_softmax(teachers / temperature, dim=2) + _log(weights)).logsumexp(dim=0)


def mix_labels(
    teachers: Float[Tensor, "k b c"], weights: Float[Tensor, "k ..."], temperature: float
) -> Float[Tensor, "b c"]:
    """The same for sigmoids; ``weights`` may also be of each label, (k, batch, classes)."""
    scaled, log_weights = teachers / temperature, _log(weights)
    for_it = (F.logsigmoid(scaled) + log_weights).logsumexp(dim=0)
    return temperature * (for_it - (F.logsigmoid(-scaled) + log_weights).logsumexp(dim=0))


def _log(weights: Tensor) -> Tensor:
    return weights.clamp_min(torch.finfo(weights.dtype).tiny).log()  # the log of 0 has no gradient that can be used


def validation_weights(scores: Sequence[float]) -> Float[Tensor, "k 1 1"]:
    """Each teacher's AUC above chance, as a share of all teachers'."""
    above = torch.tensor(scores, dtype=torch.float32).sub(CHANCE_AUC).clamp(min=0)
    return (above / above.sum())[:, None, None]


def confidence_of_classes(teachers: Float[Tensor, "k b c"], labels: Int[Tensor, " b"]) -> Float[Tensor, "k b 1"]:
    """CA-MKD's weights, from each teacher's cross entropy with the label of the case."""
    right = labels.expand(len(teachers), -1)[:, :, None]
    return _confidence(-F.log_softmax(teachers, dim=2).gather(2, right))


def confidence_of_labels(teachers: Float[Tensor, "k b c"], labels: Float[Tensor, "b c"]) -> Float[Tensor, "k b c"]:
    """The same for each label, by binary cross entropy."""
    targets = labels.expand_as(teachers)
    return _confidence(F.binary_cross_entropy_with_logits(teachers, targets, reduction="none"))


def _confidence(losses: Tensor) -> Tensor:
    return (1 - losses.softmax(dim=0)) / (len(losses) - 1)


class TeacherAttention(nn.Module):
    """A weight for each teacher, from what the student says about the case; equal weights before it has learned."""

    def __init__(self, teachers: int, classes: int) -> None:
        super().__init__()
        self.query = nn.Linear(classes, ATTENTION_WIDTH)
        self.keys = nn.Parameter(torch.zeros(teachers, ATTENTION_WIDTH))

    def forward(self, student: Float[Tensor, "b c"]) -> Float[Tensor, "k b 1"]:
        """``student``: its probabilities."""
        scores: Tensor = self.keys @ self.query(student).tanh().T / math.sqrt(ATTENTION_WIDTH)
        return scores.float().softmax(dim=0)[:, :, None]


def attention_for(teachers: int, classes: int, seed: int) -> TeacherAttention:
    """The attention with seeded weights; torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return TeacherAttention(teachers, classes)


@dataclass(frozen=True)
class Formulas:
    """What depends on whether a case has one class or several labels."""

    mix: Callable[[Tensor, Tensor, float], Tensor]
    soft_loss: Callable[[Tensor, Tensor, float], Tensor]
    confidence: Callable[[Tensor, Tensor], Tensor]
    probabilities: Callable[[Tensor], Tensor]


CLASSES = Formulas(mix_classes, soft_target_loss, confidence_of_classes, partial(torch.softmax, dim=1))
LABELS = Formulas(mix_labels, soft_label_loss, confidence_of_labels, torch.sigmoid)


@dataclass(frozen=True)
class Mixing:
    """What every term here needs.

    Attributes:
        caches: one for each teacher.
        formulas: of the task's kind.
        temperature, alpha: of the method.
    """

    caches: Sequence[TeacherCache]
    formulas: Formulas
    temperature: float
    alpha: float

    def teachers(self, batch: Batch) -> Float[Tensor, "k b c"]:
        """All teachers' logits for a batch."""
        return torch.stack([cache.answers(batch) for cache in self.caches])

    def loss(self, seen: Pass, teachers: Tensor, weights: Tensor) -> Tensor:
        """The soft loss, times alpha, of the student under the mix."""
        mixed = self.formulas.mix(teachers, weights, self.temperature)
        return self.alpha * self.formulas.soft_loss(seen.logits, mixed, self.temperature)


class FixedTerm:
    """The same weights for all cases, (k, 1, 1)."""

    layers = ()
    own = None

    def __init__(self, mixing: Mixing, weights: Tensor) -> None:
        self._mixing, self._weights = mixing, weights

    def loss(self, seen: Pass) -> Tensor:
        """The weighted soft loss of one pass."""
        return self._mixing.loss(seen, self._mixing.teachers(seen.batch), self._weights.to(seen.logits.device))


class ConfidenceTerm:
    """Weights by who is right about the case."""

    layers = ()
    own = None

    def __init__(self, mixing: Mixing) -> None:
        self._mixing = mixing

    def loss(self, seen: Pass) -> Tensor:
        """The weighted soft loss of one pass."""
        teachers = self._mixing.teachers(seen.batch)
        return self._mixing.loss(seen, teachers, self._mixing.formulas.confidence(teachers, seen.batch.labels))


class AttentionTerm:
    """Weights by a learned attention; ``label_loss`` is a module of (logits, labels) that teaches it."""

    layers = ()

    def __init__(self, mixing: Mixing, attention: TeacherAttention, label_loss: nn.Module) -> None:
        self._mixing, self.own, self._label_loss = mixing, attention, label_loss

    def loss(self, seen: Pass) -> Tensor:
        """The weighted soft loss of one pass, and the loss of the attention itself."""
        device, formulas = seen.logits.device, self._mixing.formulas
        teachers = self._mixing.teachers(seen.batch)
        weights = self.own.to(device)(formulas.probabilities(seen.logits.detach()))
        judged: Tensor = self._label_loss.to(device)(formulas.mix(teachers, weights, 1.0), seen.batch.labels)
        return self._mixing.loss(seen, teachers, weights.detach()) + judged


class MultiTeacher(Record):
    """Learn the weighted mean of several teachers' softened outputs beside the labels.

    Attributes:
        weighting: average; validation (by AUC there); confidence or attention (for each case; every row needs a label).
        temperature: T.
        alpha: the weight of the teachers, 1 ignores the labels.
        views: how many augmented views of each row are cached and cycled through.
    """

    name: ClassVar[str] = "multi_teacher"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.SEVERAL
    rule: ClassVar[None] = None

    weighting: Weighting = Weighting.AVERAGE
    temperature: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    alpha: float = Field(default=0.9, ge=0, le=1)
    views: int = Field(default=8, ge=1)

    def refuse(self, task: Task, rows: Rows) -> None:
        """Weights that depend on the label of the case need one for every row."""
        if self.weighting in (Weighting.CONFIDENCE, Weighting.ATTENTION):
            refuse_rows_without_labels(task, rows, f"{self.name} with weighting = '{self.weighting.value}'")

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The soft term; the labels weigh 1 - alpha."""
        teachers = several_teachers(bench)
        formulas = LABELS if bench.task.kind is TaskKind.MULTI_LABEL else CLASSES
        caches = [logit_cache(bench, teacher, self.views) for teacher in teachers]
        term = TERMS[self.weighting](Mixing(caches, formulas, self.temperature, self.alpha), bench)
        return Contribution(model, terms=(term,), label_weight=1 - self.alpha, views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The distilled student."""
        return [train_together([self], model, bench)]


def several_teachers(bench: Bench) -> tuple[Teacher, ...]:
    """The bench's teachers; ModelError where they are fewer than two or one has other classes than the task."""
    if len(bench.teachers) < 2:
        raise ModelError(
            given=f"multi_teacher with {len(bench.teachers)} teacher{'s' if not bench.teachers else ''}",
            expected="two teachers or more",
            todo="name them as [[teacher]] tables of the recipe, or use 'soft_target' for one",
        )
    for teacher in bench.teachers:
        refuse_other_classes(teacher.name, teacher.classes, bench.task)
    return bench.teachers


def _average_term(mixing: Mixing, bench: Bench) -> Term:
    count = len(bench.teachers)
    return FixedTerm(mixing, torch.full((count, 1, 1), 1 / count))


def _validation_term(mixing: Mixing, bench: Bench) -> Term:
    scores = {teacher.name: teacher.score for teacher in bench.teachers}
    known = [teacher.score for teacher in bench.teachers if teacher.score is not None]
    if len(known) < len(bench.teachers) or not all(map(math.isfinite, known)) or max(known) <= CHANCE_AUC:
        said = ", ".join(f"{name} {'unknown' if score is None else f'{score:.3f}'}" for name, score in scores.items())
        raise ModelError(
            given=f"teachers whose AUC on validation is {said}",
            expected="a score of each teacher, and one that is better than chance (0.5)",
            todo="take teachers that were trained for this task, or weighting = 'average'",
        )
    return FixedTerm(mixing, validation_weights(known))


def _confidence_term(mixing: Mixing, _: Bench) -> Term:
    return ConfidenceTerm(mixing)


def _attention_term(mixing: Mixing, bench: Bench) -> Term:
    assert bench.training is not None  # train_together has refused it
    attention = attention_for(len(bench.teachers), bench.task.outputs, bench.seed)
    return AttentionTerm(mixing, attention, task_loss(bench.task, bench.training))


TERMS: Mapping[Weighting, Callable[[Mixing, Bench], Term]] = {
    Weighting.AVERAGE: _average_term,
    Weighting.VALIDATION: _validation_term,
    Weighting.CONFIDENCE: _confidence_term,
    Weighting.ATTENTION: _attention_term,
}
"""Which term goes with which weighting."""
