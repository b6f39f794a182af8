"""Feature distillation (FitNets: Romero et al., ICLR 2015, arXiv:1412.6550), and two forms that need no transform.

    L = weight * sum over pairs of  w_p * distance(S_p, T_p)              S, T: (batch, channel, *positions)
What is compared (``reduce``):
    none         distance = mean of (transform(S) - T)^2 over all numbers
    spatial      the same of the means over channels, (batch, *positions), pooled to the smaller of both sizes
    similarity   1/b^2 |G(S) - G(T)|^2,  G = Q Q^T with rows of length 1,  Q = S as (batch, everything else):
                 which rows of a batch are alike (Tung & Mori, ICCV 2019, arXiv:1907.09682; there w = 3000)
With ``normalise`` S and T are first divided by their root mean square over channels at each position (over positions where
reduce is spatial), so that ``none`` and ``spatial`` are 2 - 2 cos(S, T) however many channels there are; without it this is
FitNets' hint loss. Similarity has its own normalisation.
``matching`` says how many pairs there are and whether shapes may differ: where they do, ``adaptive`` trains a transform of the
student's side (1x1 convolution with batch norm, linear for vectors and tokens; positions pooled down or interpolated up),
which is dropped afterwards. The teacher's transform is the identity, so it cannot collapse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.compress.distill.answers import sole_teacher, teacher_model
from galenic.compress.distill.pairs import (
    Pair,
    WeightedPair,
    announce,
    channels_first,
    resized,
    settled_pairs,
)
from galenic.compress.distill.suggest import Layout
from galenic.compress.distill.teacher_layers import Reading, TeacherLayers
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.training.objective import Pass
from galenic.zoo.model import Model

RMS_FLOOR = 1e-6
"""Added to a mean square, so that features that are all zero (after a ReLU) have a gradient."""


class Matching(StrEnum):
    """How many pairs, and whether shapes may differ."""

    ONE_TO_ONE = "one_to_one"
    MULTI_LAYER = "multi_layer"
    ADAPTIVE = "adaptive"


class Reduction(StrEnum):
    """What of the features is compared."""

    NONE = "none"
    SPATIAL = "spatial"
    SIMILARITY = "similarity"


def feature_loss(
    student: Float[Tensor, "b c *p"], teacher: Float[Tensor, "b c *p"], normalise: bool
) -> Float[Tensor, ""]:
    """The mean squared difference; 2 - 2 cos, averaged over positions, where ``normalise``."""
    if normalise:
        student, teacher = unit_rms(student), unit_rms(teacher)
    return (student - teacher).square().mean()


def unit_rms(features: Float[Tensor, "b c *p"]) -> Float[Tensor, "b c *p"]:
    """Each position's features divided by their root mean square over channels."""
    return features * (features.square().mean(dim=1, keepdim=True) + RMS_FLOOR).rsqrt()


def spatial_map(features: Float[Tensor, "b c *p"], size: tuple[int, ...]) -> Float[Tensor, "b ..."]:
    """The mean over channels, resized."""
    return resized(features.mean(dim=1, keepdim=True), size)[:, 0]


def similarity(features: Float[Tensor, "b c *p"]) -> Float[Tensor, "b b"]:
    """Inner products of the rows of a batch, each row of the matrix of length 1."""
    flat = features.flatten(1)
    return F.normalize(flat @ flat.T, dim=1)


def similarity_loss(student: Float[Tensor, "b c *p"], teacher: Float[Tensor, "b k *q"]) -> Float[Tensor, ""]:
    """The mean squared difference of both similarity matrices: 1/b^2 times the squared Frobenius norm."""
    return (similarity(student) - similarity(teacher)).square().mean()


PROJECTIONS: tuple[tuple[Callable[[int, int, bool], nn.Module], Callable[[int], nn.Module]], ...] = (
    (nn.Linear, nn.BatchNorm1d),
    (lambda here, there, bias: nn.Conv1d(here, there, 1, bias=bias), nn.BatchNorm1d),
    (lambda here, there, bias: nn.Conv2d(here, there, 1, bias=bias), nn.BatchNorm2d),
)
"""By the number of position axes: a linear map of the channels (in, out, with a bias), and a batch norm."""


class Regressor(nn.Module):
    """The student's features in the teacher's shape: (batch, channel, *positions) -> (batch, *shape)."""

    def __init__(self, channels: int, shape: tuple[int, ...], batch_norm: bool) -> None:
        super().__init__()
        self._size = shape[1:]
        project, norm = PROJECTIONS[len(self._size)]
        self.project = project(channels, shape[0], not batch_norm)
        self.norm = norm(shape[0]) if batch_norm else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Positions first, since pooling before is cheaper and commutes with a linear map."""
        resampled = resized(features, self._size) if self._size else features
        matched: Tensor = self.norm(self.project(resampled))
        return matched


def _spatial_loss(student: Tensor, teacher: Tensor, normalise: bool) -> Tensor:
    ours = spatial_map(student, tuple(teacher.shape[1:]))
    return feature_loss(ours.flatten(1), teacher.flatten(1), normalise)


def _similarity_loss(student: Tensor, teacher: Tensor, _: bool) -> Tensor:
    return similarity_loss(student, teacher)


LOSSES: Mapping[Reduction, Callable[[Tensor, Tensor, bool], Tensor]] = {
    Reduction.NONE: feature_loss,
    Reduction.SPATIAL: _spatial_loss,
    Reduction.SIMILARITY: _similarity_loss,
}
"""(the student's features, what is kept of the teacher's, normalise) -> distance."""


class FeatureTerm:
    """The weighted sum over pairs, with the teacher's layers cached or live and the regressors of its own."""

    def __init__(
        self, config: FeatureMatching, pairs: Sequence[WeightedPair], teacher: TeacherLayers, seed: int
    ) -> None:
        self.teacher = teacher
        self.layers = tuple(pair.layers.student for pair in pairs)
        self._config, self._pairs = config, pairs
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._transforms = nn.ModuleList(_transform(config, pair) for pair in pairs)
        self.own = self._transforms if any(True for _ in self._transforms.parameters()) else None

    def loss(self, seen: Pass) -> Tensor:
        """The weighted distance of one pass, in float32 whatever the student's precision."""
        theirs = self.teacher.of(seen.batch)
        device = seen.logits.device
        self._transforms.to(device)
        losses = []
        with torch.autocast(device.type, enabled=False):
            for pair, transform, their in zip(self._pairs, self._transforms, theirs, strict=True):
                our = channels_first(seen.layers[pair.layers.student].float(), pair.student_layout)
                distance = LOSSES[self._config.reduce](transform(our), their, self._config.normalise)
                losses.append(pair.weight * distance)
            return self._config.weight * torch.stack(losses).sum()


class FeatureMatching(Record):
    """Resemble a teacher inside.

    Attributes:
        matching: one_to_one (one pair) and multi_layer (several) compare as it is; adaptive (any number) trains a transform
            where shapes differ.
        pairs: of module paths; where none are named, those of `galenic distill --suggest`, one_to_one taking the deepest.
        reduce: what is compared: all numbers, the mean over channels, or which rows are alike; the last two leave shapes free.
        normalise: compare directions, not sizes.
        batch_norm: behind every trained transform.
        weight: of the sum over pairs.
        views: how many augmented views of each row are cycled through.
        cache_mb: the teacher's layers are cached if that takes no more, in MB; otherwise the teacher runs in every step.
    """

    name: ClassVar[str] = "feature_matching"
    version: ClassVar[int] = 2
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.LAYERS
    rule: ClassVar[None] = None

    matching: Matching = Matching.ADAPTIVE
    pairs: tuple[Pair, ...] = ()
    reduce: Reduction = Reduction.NONE
    normalise: bool = True
    batch_norm: bool = True
    weight: float = Field(default=1.0, gt=0)
    views: int = Field(default=8, ge=1)
    cache_mb: float = Field(default=1024.0, ge=0)

    @field_validator("pairs")
    @classmethod
    def _as_many_as_matched(cls, pairs: tuple[Pair, ...], info: ValidationInfo) -> tuple[Pair, ...]:
        matching = info.data.get("matching")
        if matching is Matching.ONE_TO_ONE and len(pairs) > 1:
            raise PydanticCustomError("pairs", "one pair for matching = 'one_to_one', or matching = 'multi_layer'")
        if matching is Matching.MULTI_LAYER and len(pairs) == 1:
            raise PydanticCustomError("pairs", "several pairs for matching = 'multi_layer', or matching = 'one_to_one'")
        return pairs

    @field_validator("reduce")
    @classmethod
    def _needs_no_transform(cls, reduce: Reduction, info: ValidationInfo) -> Reduction:
        if reduce is not Reduction.NONE and info.data.get("matching") is Matching.ADAPTIVE:
            raise PydanticCustomError(
                "reduce", "'none' for matching = 'adaptive': 'spatial' and 'similarity' need no transform"
            )
        return reduce

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The feature term; what the labels weigh is left to others."""
        teacher = sole_teacher(bench)
        pairs = settled_pairs(bench, model.module, teacher_model(teacher).module, self.pairs)
        if self.matching is Matching.ONE_TO_ONE:
            pairs = pairs[-1:]
        for pair in pairs:
            _refuse_what_cannot_be_matched(self, pair)
        layers = TeacherLayers(bench, teacher, [_reading(self, pair) for pair in pairs], self.views, self.cache_mb)
        announce(bench, self.name, [pair.named for pair in pairs], [pair.layers for pair in pairs], layers.note)
        return Contribution(model, terms=(FeatureTerm(self, pairs, layers, bench.seed),), views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained student."""
        return [train_together([self], model, bench)]


def _refuse_what_cannot_be_matched(config: FeatureMatching, pair: WeightedPair) -> None:
    if config.reduce is Reduction.SIMILARITY:
        return
    one_kind = pair.student_layout is pair.teacher_layout
    ours, theirs = pair.shapes
    if not one_kind or (pair.student_layout is Layout.TOKENS and ours[1:] != theirs[1:]):
        raise ModelError(
            given=pair.both,
            expected="two layers of one kind, and token sequences of one length",
            todo="name another pair, or set matching = 'one_to_one' and reduce = 'similarity', which takes any shapes",
        )
    if config.reduce is Reduction.SPATIAL and pair.student_layout is Layout.VECTOR:
        raise ModelError(
            pair.both, "layers with positions for reduce = 'spatial'", "set reduce = 'similarity' or 'none'"
        )
    if config.reduce is Reduction.NONE and config.matching is not Matching.ADAPTIVE and pair.layers.adaptive:
        raise ModelError(
            given=pair.both,
            expected=f"equal shapes for matching = '{config.matching.value}', which trains no transform",
            todo="set matching = 'adaptive', or compare what has no such shape: reduce = 'spatial' or 'similarity'",
        )


def _reading(config: FeatureMatching, pair: WeightedPair) -> Reading:
    """What is kept of the teacher's layer."""
    path, layout, size = pair.layers.teacher, pair.teacher_layout, pair.smaller_size

    def features(output: Tensor) -> Tensor:
        return channels_first(output, layout)

    if config.reduce is Reduction.SPATIAL:
        return Reading(path, f"mean over channels {size}", size, lambda output: spatial_map(features(output), size))
    return Reading(path, f"features {pair.shapes[1]}", pair.shapes[1], features)


def _transform(config: FeatureMatching, pair: WeightedPair) -> nn.Module:
    if config.matching is not Matching.ADAPTIVE or not pair.layers.adaptive:
        return nn.Identity()
    ours, theirs = pair.shapes
    return Regressor(ours[0], theirs, config.batch_norm)
