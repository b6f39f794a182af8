"""The variance of an estimate from its influence values, for independent and for clustered cases.

An estimate is linear to first order in the cases: estimate - truth ~ sum_i u_i, where the influence values u_i sum to
zero within each stratum (the cases whose number is taken as given, such as the positives of an AUC). Then

    independent   V = sum over strata s of  n_s / (n_s - 1) * sum_{i in s} u_i^2
    clustered     V = G / (G - 1) * sum over clusters g of (sum_{i in g} u_i)^2        quantile: Student's t with G - 1

For the mean of n values (u_i = (x_i - mean) / n) the first is the textbook s^2 / n; for an AUC's structural components
it is DeLong's variance. The second is the linearised, or sandwich, variance (Liang & Zeger, Biometrika 1986; for an AUC
Obuchowski, Biometrics 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from galenic.stats.estimate import normal_quantile

_ROUNDING = 1e-26
"""Variances below are rounding: two cases of 10^5 that swap give 10^-20."""


@dataclass(frozen=True)
class Spread:
    """How far an estimate may be from the truth.

    Attributes:
        variance: exactly 0 where the sample shows none, NaN where it cannot be estimated (a stratum of one case).
        quantile: normal, or Student's t where clustered.
        clusters: how many, or None where the cases are independent.
    """

    variance: float
    quantile: float
    clusters: int | None

    @property
    def known(self) -> bool:
        """True where the sample shows a variance, so that a half width follows from it."""
        return bool(np.isfinite(self.variance) and self.variance > 0)

    @property
    def half_width(self) -> float:
        """The quantile times the standard error."""
        return self.quantile * float(np.sqrt(self.variance))


def stratified_variance(influence: np.ndarray, strata: np.ndarray) -> float:
    """The variance of an estimate with independent cases; influence (n,), strata (n,) any labels."""
    _, stratum, counts = np.unique(strata, return_inverse=True, return_counts=True)
    if len(counts) == 0 or counts.min() < 2:
        return float("nan")
    squares = np.bincount(stratum, weights=influence**2)
    return _unless_rounding(float(np.sum(counts / (counts - 1) * squares)))


def cluster_variance(influence: np.ndarray, clusters: np.ndarray) -> float:
    """The variance of an estimate whose cases are independent only between clusters; both (n,)."""
    _, cluster = np.unique(clusters, return_inverse=True)
    sums = np.bincount(cluster, weights=influence)
    if len(sums) < 2:
        return float("nan")
    return _unless_rounding(float(len(sums) / (len(sums) - 1) * np.sum(sums**2)))


def spread(influence: np.ndarray, strata: np.ndarray, clusters: np.ndarray | None, alpha: float) -> Spread:
    """The variance and the quantile that belong to these cases."""
    if clusters is None:
        return Spread(stratified_variance(influence, strata), normal_quantile(alpha), None)
    groups = len(np.unique(clusters))
    quantile = float(stdtrit(groups - 1, 1 - alpha)) if groups > 1 else float("nan")
    return Spread(cluster_variance(influence, clusters), quantile, groups)


def dependent(clusters: np.ndarray | None) -> np.ndarray | None:
    """The clusters where any of them holds two cases; None where the cases are independent after all."""
    if clusters is None or len(np.unique(clusters)) == len(clusters):
        return None
    return clusters


def _unless_rounding(variance: float) -> float:
    return variance if variance > _ROUNDING else 0.0
