"""Attention matrices of transformers (MiniLM: Wang et al., NeurIPS 2020, arXiv:2002.10957, equation 5): attend alike.

    A(x): (batch, head, query, key), softmax over keys
    L = weight * sum over pairs of  w_p * mean over batch of  1/(heads * |x|) sum over heads and queries of KL(A_T || A_S)
|x| is how many tokens of a text are no padding; queries that are padding do not count, and keys that are padding have no
weight in either net. MiniLM takes the last layers alone; here any pairs, by default every layer of the student with that of
the teacher at the same relative depth: layer i of n_s, counted from one, learns from layer ceil(i n_t / n_s), which is
TinyBERT's uniform mapping (Jiao et al. 2020, arXiv:1909.10351). Where the numbers of heads differ, the distributions of
the heads of either net are averaged first (a mean of distributions is one).

A layer is a module that returns (features, matrices), such as ``bert.encoder.layer.3.attention.self``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from galenic.compress.distill.answers import sole_teacher, teacher_model
from galenic.compress.distill.pairs import Pair, announce, sample_inputs
from galenic.compress.distill.teacher_layers import Reading, TeacherLayers
from galenic.compress.distill.tokens import token_mask
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.training.layers import captured, evaluating, layer_named
from galenic.training.objective import Pass
from galenic.zoo.model import Model

LEAST = 1e-9
"""What the student's weights are raised to where they are smaller, so that the loss is finite."""


class Matrices(NamedTuple):
    """A module that returns attention matrices: its path, and (head, query, key)."""

    path: str
    shape: tuple[int, ...]


def attention_divergence(
    student: Float[Tensor, "b h q k"], teacher: Float[Tensor, "b g q k"], mask: Int[Tensor, "b q"]
) -> Float[Tensor, ""]:
    """KL(teacher || student), summed over keys, averaged over heads, over the queries where ``mask`` is 1, and the batch."""
    if student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(dim=1, keepdim=True), teacher.mean(dim=1, keepdim=True)
    each = torch.xlogy(teacher, teacher) - teacher * student.clamp_min(LEAST).log()
    queries = each.sum(dim=3).mean(dim=1)
    return ((queries * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1)).mean()


def same_depth(student: Sequence[str], teacher: Sequence[str]) -> list[tuple[str, str]]:
    """Each of the student's layers with the teacher's at the same relative depth; the last meet."""
    ours, theirs = len(student), len(teacher)
    return [(path, teacher[math.ceil(number * theirs / ours) - 1]) for number, path in enumerate(student, 1)]


def attending_layers(module: nn.Module, inputs: Any) -> list[Matrices]:
    """The innermost modules that return attention matrices, in the order of the forward pass."""
    with evaluating(module), captured(module, [path for path, _ in module.named_modules() if path]) as seen:
        module(inputs)
    found = {path: tuple(output[1].shape[1:]) for path, output in seen.items() if _has_matrices(output)}
    outer = {path for path in found if any(other.startswith(f"{path}.") for other in found)}
    return [Matrices(path, shape) for path, shape in found.items() if path not in outer]


class AttentionMatricesTerm:
    """The weighted sum over pairs, with the teacher's matrices cached or live."""

    own = None

    def __init__(self, pairs: Sequence[Pair], teacher: TeacherLayers, weight: float) -> None:
        self.teacher = teacher
        self.layers = tuple(pair.student for pair in pairs)
        self._pairs, self._weight = pairs, weight

    def loss(self, seen: Pass) -> Tensor:
        """The weighted loss of one pass, in float32 whatever the student's precision."""
        theirs = self.teacher.of(seen.batch)
        with torch.autocast(seen.logits.device.type, enabled=False):
            losses = []
            for pair, their in zip(self._pairs, theirs, strict=True):
                our = seen.layers[pair.student][1].float()
                losses.append(pair.weight * attention_divergence(our, their, token_mask(seen.batch.inputs, our)))
            return self._weight * torch.stack(losses).sum()


class AttentionMatrices(Record):
    """Attend as a teacher attends.

    Attributes:
        pairs: of module paths that return attention matrices; where none are named, by relative depth.
        weight: of the sum over pairs.
        views: how many augmented views of each row are cycled through; a text has one.
        cache_mb: the teacher's matrices are cached if that takes no more, in MB; otherwise the teacher runs in every step.
    """

    name: ClassVar[str] = "attention_matrices"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.LAYERS
    rule: ClassVar[None] = None

    pairs: tuple[Pair, ...] = ()
    weight: float = Field(default=1.0, gt=0)
    views: int = Field(default=8, ge=1)
    cache_mb: float = Field(default=1024.0, ge=0)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The attention term; what the labels weigh is left to others."""
        teacher = sole_teacher(bench)
        source = teacher_model(teacher).module
        inputs = sample_inputs(bench.task)
        ours = _attending(model.module, "the student", inputs)
        theirs = _attending(source, f"the teacher {teacher.name}", inputs)
        pairs = self.pairs or [
            Pair(student=student, teacher=other) for student, other in same_depth(list(ours), list(theirs))
        ]
        readings = []
        for pair in pairs:
            _check(pair, model.module, ours, source, theirs)
            _refuse_dropout(model.module, pair.student)
            shape = theirs[pair.teacher]
            readings.append(Reading(pair.teacher, f"attention matrices {shape}", shape, _unchanged, _matrices))
        layers = TeacherLayers(bench, teacher, readings, self.views, self.cache_mb)
        announce(bench, self.name, pairs, [f"{pair.student} <- {pair.teacher}" for pair in pairs], layers.note)
        return Contribution(model, terms=(AttentionMatricesTerm(pairs, layers, self.weight),), views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained student."""
        return [train_together([self], model, bench)]


def _has_matrices(output: Any) -> bool:
    """Whether it is (features, (batch, head, query, key))."""
    return isinstance(output, tuple) and len(output) > 1 and isinstance(output[1], Tensor) and output[1].ndim == 4


def _matrices(output: Any) -> Tensor:
    matrices: Tensor = output[1]
    return matrices


def _unchanged(matrices: Tensor) -> Tensor:
    return matrices


def _attending(module: nn.Module, whose: str, inputs: Tensor) -> dict[str, tuple[int, ...]]:
    found = dict(attending_layers(module, inputs))
    if not found:
        raise ModelError(
            given=f"{whose}, of whose modules none returns attention matrices",
            expected="a transformer whose attention is computed step by step (attn_implementation = 'eager')",
            todo="take bert or distilbert, or a method that compares answers or features (soft_target, feature_matching)",
        )
    return found


def _check(
    pair: Pair,
    student: nn.Module,
    ours: Mapping[str, tuple[int, ...]],
    teacher: nn.Module,
    theirs: Mapping[str, tuple[int, ...]],
) -> None:
    sides = (("the student", pair.student, student, ours), ("the teacher", pair.teacher, teacher, theirs))
    for whose, path, module, found in sides:
        layer_named(module, path, whose)
        if path not in found:
            raise ModelError(
                given=f"the layer '{path}' of {whose}, which returns no attention matrices",
                expected=f"one of {', '.join(found)}",
                todo="name such a module",
            )
    if ours[pair.student][1:] != theirs[pair.teacher][1:]:
        raise ModelError(
            given=f"matrices of {ours[pair.student][1:]} in {pair.student} and {theirs[pair.teacher][1:]} in {pair.teacher}",
            expected="the same tokens in both nets",
            todo="name layers that see the same tokens",
        )


def _refuse_dropout(student: nn.Module, path: str) -> None:
    dropouts = [part for part in layer_named(student, path).modules() if isinstance(part, nn.Dropout)]
    rate = max((part.p for part in dropouts), default=0.0)
    if rate > 0:
        raise ModelError(
            given=f"the student's {path} with dropout of {rate:g} on its attention",
            expected="none: what is left of a dropped-out matrix is no distribution",
            todo="build the student without dropout on its attention, as bert and distilbert of the zoo are",
        )
