"""A value that changes over a training: a temperature, a weight, a sparsity.

    value(p) = start + (end - start) * share(p)       p: the share of the training's epochs that are over, in [0, 1)
    constant   share = 0
    linear     share = p
    cosine     share = (1 - cos(pi p)) / 2            slow at both ends
    cubic      share = 1 - (1 - p)^3                  fast first (Zhu & Gupta 2017, arXiv:1710.01878)
A training of E epochs sees p = 0, 1/E ... (E - 1)/E, so ``end`` is approached and not reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """How a value goes from its start to its end."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    CUBIC = "cubic"


SHARES: Mapping[Shape, Callable[[float], float]] = {
    Shape.CONSTANT: lambda _: 0.0,
    Shape.LINEAR: lambda progress: progress,
    Shape.COSINE: lambda progress: (1 - math.cos(math.pi * progress)) / 2,
    Shape.CUBIC: lambda progress: 1 - (1 - progress) ** 3,
}
"""Progress in [0, 1) -> which share of the way from start to end is done."""


@dataclass(frozen=True)
class Schedule:
    """A value as a function of a training's progress; ``end`` counts for nothing where the shape is constant."""

    start: float
    end: float
    shape: Shape = Shape.LINEAR

    def at(self, progress: float) -> float:
        """The value when this share of the training is over."""
        share = SHARES[self.shape](progress)
        return self.start if share == 0 else self.start + (self.end - self.start) * share


def constant(value: float) -> Schedule:
    """The same value throughout, which may be infinite."""
    return Schedule(value, value, Shape.CONSTANT)


def warm_up(progress: float, share: float) -> float:
    """min(1, progress / share): a factor that rises during the first ``share`` of a training; 1 where ``share`` is 0."""
    return min(1.0, progress / share) if share > 0 else 1.0
