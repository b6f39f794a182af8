"""What every interval of this room returns, and the quantile that all of them share.

``alpha`` is one-sided throughout: an interval is two-sided with confidence 1 - 2 alpha, so that its lower bound alone
is a one-sided test at ``alpha`` (0.025 gives the usual 95 % interval).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scipy.special import ndtri

ALPHA = 0.025


class Bounds(NamedTuple):
    """The two ends of an interval."""

    low: float
    high: float

    def clipped(self, least: float, most: float) -> Bounds:
        """The same interval inside [least, most]."""
        return Bounds(min(max(self.low, least), most), min(max(self.high, least), most))


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, the number of cases it rests on, and the interval's name.

    ``clusters`` is the number of independent groups where cases are not independent, else None.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    clusters: int | None = None


def normal_quantile(alpha: float) -> float:
    """The z with one-sided tail ``alpha``: 1.96 at 0.025."""
    return float(-ndtri(alpha))
