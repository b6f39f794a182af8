"""Quadratic weighted kappa of two ratings on an ordered scale (Cohen, Psychological Bulletin 1968).

    w_ij = (i - j)^2 / (K - 1)^2      kappa = 1 - N / D
    N = sum_ij w_ij p_ij  (seen)      D = sum_ij w_ij p_i. p_.j  (by chance)

The variance is the delta method's (Fleiss, Cohen & Everitt, Psychological Bulletin 1969), from the influence of a case
rated (i, j): -(dN D - N dD) / D^2 with dN = w_ij - N and dD = (w p_.)_i + (p_. w)_j - 2 D.

Perfect agreement shows no variance: then a share of at most 1 - alpha^(1/n) of cases can be wrong, each by the whole
scale, and kappa is at least 1 - (1 - alpha^(1/n)) / D.
"""

from __future__ import annotations

import numpy as np

from galenic.stats.clusters import dependent, spread
from galenic.stats.estimate import ALPHA, Bounds, Estimate


def quadratic_kappa(
    truth: np.ndarray, rating: np.ndarray, classes: int, clusters: np.ndarray | None = None, alpha: float = ALPHA
) -> Estimate:
    """Truth and rating (n,) class indices; the truth holds at least two of ``classes``."""
    clusters, n = dependent(clusters), len(truth)
    grid = np.arange(classes)
    weights = (grid[:, None] - grid[None, :]) ** 2 / (classes - 1) ** 2
    truth_share, rating_share = (np.bincount(labels, minlength=classes) / n for labels in (truth, rating))
    each = weights[truth, rating]
    seen, chance = float(each.mean()), float(truth_share @ weights @ rating_share)
    value = 1 - seen / chance
    chance_slope = (weights @ rating_share)[truth] + (truth_share @ weights)[rating] - 2 * chance
    influence = -((each - seen) * chance - seen * chance_slope) / chance**2 / n
    found = spread(influence, np.zeros(n, dtype=int), clusters, alpha)
    half = found.half_width
    if not found.known:
        groups = n if found.clusters is None else found.clusters
        half = (1 - alpha ** (1 / groups)) / chance
    bounds = Bounds(value - half, value + half).clipped(-1, 1)
    method = "delta" if clusters is None else "cluster-robust delta"
    return Estimate(value, *bounds, n=n, method=method, clusters=found.clusters)
