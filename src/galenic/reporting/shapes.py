"""Positions of drawn things, as percentages of a box: intervals with their margin line, latency bars, heat of a matrix.

    position(v) = 100 * (v - low) / (high - low)        percent from the left, for v in [low, high]

The values are the report's; only where they stand on the page is worked out here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from galenic.record.gate import CheckKind, GateCheck
from galenic.record.report import Candidate, Confusion
from galenic.reporting.numbers import is_proportion, metric_value, signed

LABEL_WIDTH = 16.0
"""About how much of an axis a label takes on a phone, in percent."""


@dataclass(frozen=True)
class Axis:
    """A linear axis over [low, high]."""

    low: float
    high: float

    def position(self, value: float) -> float:
        """Percent from the left, clipped to the box."""
        return round(min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low))), 2)


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis; ``limit`` where a margin or floor stands there."""

    left: float
    label: str
    limit: bool = False


@dataclass(frozen=True)
class ForestRow:
    """One check drawn; ``left``, ``right`` and ``at`` are None where it has no interval."""

    check: GateCheck
    left: float | None
    right: float | None
    at: float | None
    limit: float


@dataclass(frozen=True)
class Forest:
    """Checks that share an axis. ``zero`` is where no difference stands, None on an axis of values."""

    kind: CheckKind
    proportion: bool
    rows: tuple[ForestRow, ...]
    ticks: tuple[Tick, ...]
    zero: float | None


def forests(checks: Sequence[GateCheck]) -> list[Forest]:
    """Margins and floors, proportions and other metrics, each on an axis of their own."""
    found = []
    for kind in CheckKind:
        for proportion in (False, True):
            chosen = [c for c in checks if c.kind is kind and is_proportion(c.endpoint) is proportion]
            if chosen:
                found.append(_forest(kind, proportion, chosen))
    return found


def _forest(kind: CheckKind, proportion: bool, checks: Sequence[GateCheck]) -> Forest:
    limits = [-c.limit if kind is CheckKind.MARGIN else c.limit for c in checks]
    drawn = [v for c in checks for v in (c.low, c.value, c.high) if v is not None and math.isfinite(v)]
    known = limits + drawn + ([0.0] if kind is CheckKind.MARGIN else [])
    axis, places = _axis(min(known), max(known))
    show = signed if kind is CheckKind.MARGIN else metric_value
    rows = tuple(
        ForestRow(c, _place(axis, c.low), _place(axis, c.high), _place(axis, c.value), axis.position(limit))
        for c, limit in zip(checks, limits, strict=True)
    )
    ticks = _ticks(
        [(axis.position(v), show(v, checks[0].endpoint)) for v in sorted(set(limits))],
        [(axis.position(v), show(v, checks[0].endpoint)) for v in places],
    )
    return Forest(kind, proportion, rows, ticks, axis.position(0.0) if kind is CheckKind.MARGIN else None)


def _ticks(limits: Sequence[tuple[float, str]], places: Sequence[tuple[float, str]]) -> tuple[Tick, ...]:
    """Every limit, and those round places whose label touches neither a limit's nor the edge."""
    kept = [Tick(left, label, limit=True) for left, label in limits]
    inside = [place for place in places if LABEL_WIDTH / 2 <= place[0] <= 100 - LABEL_WIDTH / 2]
    free = [place for place in inside if all(abs(place[0] - left) > LABEL_WIDTH for left, _ in limits)]
    return (*kept, *(Tick(left, label) for left, label in free))


def _place(axis: Axis, value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else axis.position(value)


def _axis(low: float, high: float) -> tuple[Axis, list[float]]:
    """An axis a little wider than [low, high], with two to five round ticks inside it."""
    span = (high - low) or 0.02
    axis = Axis(low - 0.12 * span, high + 0.12 * span)
    step = _round_step((axis.high - axis.low) / 4)
    first, last = math.ceil(axis.low / step), math.floor(axis.high / step)
    return axis, [i * step for i in range(first, last + 1)]


def _round_step(rough: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


@dataclass(frozen=True)
class Part:
    """One part of an answer's time."""

    name: str
    milliseconds: float
    width: float


@dataclass(frozen=True)
class LatencyBar:
    """A candidate's answer time in parts, whose widths are percent of the longest answer."""

    candidate: Candidate
    parts: tuple[Part, ...]


def latency_bars(candidates: Sequence[Candidate]) -> list[LatencyBar]:
    """One bar a candidate, all on one scale."""
    times = [
        [
            ("preprocessing", c.breakdown_ms.preprocessing),
            ("inference", c.breakdown_ms.inference),
            ("postprocessing", c.breakdown_ms.postprocessing),
        ]
        for c in candidates
    ]
    longest = max((sum(ms for _, ms in parts) for parts in times), default=0.0) or 1.0
    return [
        LatencyBar(candidate, tuple(Part(name, ms, round(100 * ms / longest, 2)) for name, ms in parts))
        for candidate, parts in zip(candidates, times, strict=True)
    ]


@dataclass(frozen=True)
class Cell:
    """A count, and its share of all cases of that true class in [0, 1]."""

    count: int
    share: float
    right: bool


def heat(confusion: Confusion) -> list[list[Cell]]:
    """Counts[true][predicted] with row shares, for shading."""
    rows = []
    for true, counts in enumerate(confusion.counts):
        total = sum(counts) or 1
        rows.append([Cell(n, n / total, true == predicted) for predicted, n in enumerate(counts)])
    return rows
