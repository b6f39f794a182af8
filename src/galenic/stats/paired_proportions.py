"""Intervals for the difference of two proportions that were seen on the same cases.

    both a, only the first b, only the second c, neither d; n = a + b + c + d; difference = (b - c) / n

Tango's score interval (Statistics in Medicine 1998): all differences D with

    | b - c - n D | <= z sqrt(n (2 q + D (1 - D)))
    q = (sqrt(B^2 - 4 A C) - B) / 2 A      A = 2 n,  B = -b - c + (2 n - b + c) D,  C = -c D (1 - D)

where q is the most likely share of "only the second" if the difference were D. With b = c = 0 it is
-+ z^2 / (n + z^2), and with b = n it is ((n - z^2) / (n + z^2), 1): both are solved by hand below, since the equation
has a second root there that is not wanted.

Newcombe's hybrid score interval with a continuity-corrected phi, his method 10 (Statistics in Medicine 1998), joins
Wilson's intervals of the two proportions.

Check values, on (1, 1, 7, 12): Tango (-0.517, -0.026), Newcombe (-0.507, -0.026).
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from galenic.stats.clusters import dependent, spread
from galenic.stats.estimate import ALPHA, Bounds, Estimate, normal_quantile
from galenic.stats.proportions import score_bounds


class PairedCounts(NamedTuple):
    """How often both, only the first, only the second, and neither of two raters said yes to the same case."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def n(self) -> int:
        """All cases."""
        return sum(self)

    @property
    def difference(self) -> float:
        """First minus second."""
        return (self.only_first - self.only_second) / self.n


def count_pairs(first: np.ndarray, second: np.ndarray) -> PairedCounts:
    """Count two boolean arrays (n,) of the same cases."""
    first, second = first.astype(bool), second.astype(bool)
    cells = (first & second, first & ~second, ~first & second, ~first & ~second)
    return PairedCounts(*(int(cell.sum()) for cell in cells))


def tango(counts: PairedCounts, alpha: float = ALPHA) -> Estimate:
    """Tango's score interval for the first proportion minus the second."""
    z = normal_quantile(alpha)
    high = -_tango_low(counts.only_second, counts.only_first, counts.n, z)
    low = _tango_low(counts.only_first, counts.only_second, counts.n, z)
    return Estimate(counts.difference, low, high, n=counts.n, method="Tango score")


def newcombe(counts: PairedCounts, alpha: float = ALPHA) -> Estimate:
    """Newcombe's method 10 for the first proportion minus the second."""
    z, n = normal_quantile(alpha), counts.n
    first, second = (counts.both + counts.only_first) / n, (counts.both + counts.only_second) / n
    bounds_first, bounds_second = score_bounds(first, n, z), score_bounds(second, n, z)
    phi = _newcombe_phi(counts)
    low = _hypotenuse(first - bounds_first.low, bounds_second.high - second, phi)
    high = _hypotenuse(bounds_first.high - first, second - bounds_second.low, phi)
    bounds = Bounds(counts.difference - low, counts.difference + high).clipped(-1, 1)
    return Estimate(counts.difference, *bounds, n=n, method="Newcombe hybrid score")


def paired_mean_interval(
    first: np.ndarray, second: np.ndarray, clusters: np.ndarray | None = None, alpha: float = ALPHA
) -> Estimate:
    """The mean of ``first - second``, values in [0, 1] of the same cases, shape (n,).

    Tango where the values are 0/1 and the cases independent; else the mean difference with its (cluster-robust)
    standard error. Where no case differs that error would be 0, and Tango's interval for as many cases as there are
    independent groups is taken instead.
    """
    clusters, n = dependent(clusters), len(first)
    if clusters is None and np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all():
        return tango(count_pairs(first, second), alpha)
    gaps = first.astype(float) - second.astype(float)
    value = float(np.mean(gaps))
    found = spread((gaps - value) / n, np.zeros(n, dtype=int), clusters, alpha)
    half = found.half_width
    if not found.known:
        groups = n if found.clusters is None else found.clusters
        half = found.quantile**2 / (groups + found.quantile**2) if groups > 1 else 2.0
    method = "paired mean" if clusters is None else "cluster-robust paired mean"
    bounds = Bounds(value - half, value + half).clipped(-1, 1)
    return Estimate(value, *bounds, n=n, method=method, clusters=found.clusters)


def _tango_low(b: int, c: int, n: int, z: float) -> float:
    """The lower bound of (b - c) / n; the upper one is the mirror image."""
    if b == c == 0:
        return -(z**2) / (n + z**2)
    if b == n:
        return (n - z**2) / (n + z**2)
    if c == n:
        return -1.0

    def excess(difference: float) -> float:
        spread_ = n * (2 * _nuisance(b, c, n, difference) + difference * (1 - difference))
        return b - c - n * difference - z * sqrt(max(spread_, 0.0))

    return float(brentq(excess, -1.0, (b - c) / n, xtol=1e-14, rtol=1e-14))


def _nuisance(b: int, c: int, n: int, difference: float) -> float:
    """Tango's q, by whichever form of the root does not cancel."""
    slope = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    root = sqrt(max(slope**2 - 8 * n * constant, 0.0))
    if slope > 0:
        return -2 * constant / (root + slope)
    return (root - slope) / (4 * n)


def _newcombe_phi(counts: PairedCounts) -> float:
    a, b, c, d = counts
    product = float(a + b) * (c + d) * (a + c) * (b + d)
    if product == 0:
        return 0.0
    numerator = float(a * d - b * c)
    if numerator > 0:
        numerator = max(numerator - counts.n / 2, 0.0)
    return numerator / sqrt(product)


def _hypotenuse(first: float, second: float, phi: float) -> float:
    return sqrt(max(first**2 - 2 * phi * first * second + second**2, 0.0))
