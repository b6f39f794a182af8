"""Attention transfer for convolutional nets (Zagoruyko & Komodakis, ICLR 2017, arXiv:1612.03928): learn where to look.

    A(F) = m / |m|,  m = mean over channels of F^2, as one vector             F: (batch, channel, *positions)
    L    = weight * sum over pairs of  w_p * mean over batch and positions of (A(S_p) - A(T_p))^2
This is the authors' code (there weight = 1000); the paper's equation 2 has a norm in place of the mean square. |m| is the
Euclidean norm, so A says where a net looks and not how strongly. Where the maps differ in size, m is average-pooled to the
smaller one before it is normalised. Signals have positions in time. Attention matrices of transformers are another method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from galenic.compress.distill.answers import sole_teacher, teacher_model
from galenic.compress.distill.pairs import Pair, WeightedPair, announce, resized, settled_pairs
from galenic.compress.distill.suggest import Layout
from galenic.compress.distill.teacher_layers import Reading, TeacherLayers
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.training.objective import Pass
from galenic.zoo.model import Model


def attention_map(features: Float[Tensor, "b c *p"], size: tuple[int, ...]) -> Float[Tensor, "b q"]:
    """A(F): the energy of each position, pooled to ``size``, as a vector of length 1."""
    energy = features.square().mean(dim=1, keepdim=True)
    return F.normalize(resized(energy, size).flatten(1), dim=1)


def attention_loss(student: Float[Tensor, "b q"], teacher: Float[Tensor, "b q"]) -> Float[Tensor, ""]:
    """The mean squared difference of two attention maps."""
    return (student - teacher).square().mean()


class AttentionTerm:
    """The weighted sum over pairs, with the teacher's maps cached or live."""

    own = None

    def __init__(self, pairs: Sequence[WeightedPair], teacher: TeacherLayers, weight: float) -> None:
        self.teacher = teacher
        self.layers = tuple(pair.layers.student for pair in pairs)
        self._pairs, self._weight = pairs, weight

    def loss(self, seen: Pass) -> Tensor:
        """The weighted loss of one pass, in float32 whatever the student's precision."""
        theirs = self.teacher.of(seen.batch)
        with torch.autocast(seen.logits.device.type, enabled=False):
            losses = [
                pair.weight
                * attention_loss(attention_map(seen.layers[pair.layers.student].float(), pair.smaller_size), their)
                for pair, their in zip(self._pairs, theirs, strict=True)
            ]
            return self._weight * torch.stack(losses).sum()


class AttentionTransfer(Record):
    """Look where a teacher looks.

    Attributes:
        pairs: of module paths whose outputs are maps or signals; where none are named, those of `galenic distill --suggest`.
        weight: of the sum over pairs; the authors' is 1000.
        views: how many augmented views of each row are cached and cycled through.
        cache_mb: the teacher's maps are cached if that takes no more, in MB; otherwise the teacher runs in every step.
    """

    name: ClassVar[str] = "attention_transfer"
    version: ClassVar[int] = 2
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.LAYERS
    rule: ClassVar[None] = None

    pairs: tuple[Pair, ...] = ()
    weight: float = Field(default=1000.0, gt=0)
    views: int = Field(default=8, ge=1)
    cache_mb: float = Field(default=1024.0, ge=0)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The attention term; what the labels weigh is left to others."""
        teacher = sole_teacher(bench)
        pairs = settled_pairs(bench, model.module, teacher_model(teacher).module, self.pairs)
        for pair in pairs:
            _refuse_other_than_maps(pair)
        layers = TeacherLayers(bench, teacher, [_reading(pair) for pair in pairs], self.views, self.cache_mb)
        announce(bench, self.name, [pair.named for pair in pairs], [pair.layers for pair in pairs], layers.note)
        return Contribution(model, terms=(AttentionTerm(pairs, layers, self.weight),), views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained student."""
        return [train_together([self], model, bench)]


def _reading(pair: WeightedPair) -> Reading:
    size = pair.smaller_size
    return Reading(
        pair.layers.teacher, f"attention {size}", (math.prod(size),), lambda features: attention_map(features, size)
    )


def _refuse_other_than_maps(pair: WeightedPair) -> None:
    if pair.student_layout is not pair.teacher_layout or pair.student_layout not in (Layout.MAP, Layout.SIGNAL):
        raise ModelError(
            given=pair.both,
            expected="two layers whose outputs are maps (channel, height, width), or two signals (channel, time)",
            todo="name other layers, or use a method that compares answers or features (soft_target, feature_matching)",
        )
