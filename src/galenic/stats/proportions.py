"""Intervals for one proportion, or one mean of values in [0, 1].

Wilson's score interval (JASA 1927), for a share p of n cases and quantile z:

    (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

It is exact at its edges: p = 0 gives a lower bound of 0, p = 1 an upper bound of 1, and never a width of zero.

Where the cases are clustered, weighted or not 0/1, n is replaced by the effective number p (1 - p) / V, at most n when
clustered, and z by the quantile that belongs to V (Korn & Graubard, Survey Methodology 1998; Franco et al., Journal of
Survey Statistics and Methodology 2019). Where V is 0 (nothing but right answers) the effective number is the number of
independent groups, which supposes that all cases of a group agree: the most cautious choice.
"""

from __future__ import annotations

import numpy as np

from galenic.stats.clusters import Spread, dependent, spread
from galenic.stats.estimate import ALPHA, Bounds, Estimate, normal_quantile


def wilson(successes: int, n: int, alpha: float = ALPHA) -> Estimate:
    """Wilson's score interval for ``successes`` of ``n`` independent cases."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n} cases is no proportion")
    bounds = score_bounds(successes / n, n, normal_quantile(alpha))
    return Estimate(successes / n, *bounds, n=n, method="Wilson score")


def score_bounds(share: float, n: float, quantile: float) -> Bounds:
    """Wilson's formula for any share in [0, 1] and any (effective) number of cases above 0."""
    square = quantile**2
    centre = share + square / (2 * n)
    half = quantile * np.sqrt(share * (1 - share) / n + square / (4 * n**2))
    scale = 1 + square / n
    low = 0.0 if share == 0 else (centre - half) / scale
    high = 1.0 if share == 1 else (centre + half) / scale
    return Bounds(min(float(low), share), max(float(high), share)).clipped(0, 1)


def effective_bounds(share: float, found: Spread, fewest: int, n: int) -> Bounds:
    """Wilson's formula on the effective number of cases.

    Args:
        share: the estimate, in [0, 1].
        found: its variance and quantile.
        fewest: the number of independent groups, used where the sample shows no variance.
        n: the number of cases; clustering never makes them worth more.
    """
    if not np.isfinite(found.quantile) or np.isnan(found.variance):
        return Bounds(0.0, 1.0)
    if not found.known or share in (0.0, 1.0):
        return score_bounds(share, fewest, found.quantile)
    effective = share * (1 - share) / found.variance
    return score_bounds(share, effective if found.clusters is None else min(effective, n), found.quantile)


def mean_interval(values: np.ndarray, clusters: np.ndarray | None = None, alpha: float = ALPHA) -> Estimate:
    """The mean of values in [0, 1], shape (n,), of which those of one cluster may depend on each other."""
    clusters, n = dependent(clusters), len(values)
    value = float(np.mean(values))
    if clusters is None and np.isin(values, (0, 1)).all():
        return wilson(round(float(np.sum(values))), n, alpha)
    found = spread((values - value) / n, np.zeros(n, dtype=int), clusters, alpha)
    groups = n if found.clusters is None else found.clusters
    method = "Wilson score, effective n" if clusters is None else "cluster-robust Wilson score"
    return Estimate(value, *effective_bounds(value, found, groups, n), n=n, method=method, clusters=found.clusters)
