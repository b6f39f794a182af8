"""The area under the ROC curve with DeLong's variance: binary, macro one-vs-rest, and the mean over labels.

For column k with scores s, n1 cases in it and n0 outside, the structural components of the cases are
(DeLong et al., Biometrics 1988; by midranks in O(n log n): Sun & Xu, IEEE Signal Processing Letters 2014)

    V_k(i) = (share of the cases outside that i outscores, ties by half)            i in k
    V_k(i) = (share of the cases inside that outscore i, ties by half)              i not in k
    AUC_k  = mean of V_k over the cases inside = mean over those outside;   AUC = mean over the K columns

All three kinds of AUC are linear to first order in the cases, with influence

    u(i) = 1/K sum_k (V_k(i) - AUC_k) / (n1_k if i in k else n0_k), centred within i's stratum

Strata, whose sizes are taken as given: the two classes of a binary task (this is exactly DeLong), the K classes of a
single-label task (n_c u(i) is then h_c(i) = 1/K [V_c(i) + sum_{k != c} V_k(i) n_c / n0_k] less its mean, and the
variance sum_c S^2(h_c) / n_c), and one stratum of all cases for multi-label tasks.

One AUC: DeLong's standard error on the logit scale (Pepe, The Statistical Evaluation of Medical Tests, 2003), which
covers better than the plain one near 1. Two AUCs of the same cases: the difference of the influence values, on the
plain scale. That is a little too sure in small samples: with tens of cases a side it passes a model at the margin more
often than alpha says.

**Where the variance is blind.** Perfectly separated classes show a variance of 0. But k = min(n1, n0) disjoint pairs
of cases are independent, so perfect separation has probability at most AUC^k, and AUC >= alpha^(1/k) is an exact lower
bound: the rule of three for pairs. It is used wherever the variance is 0 or cannot be estimated, as
value -+ (1 - alpha^(1/k)), and caps the interval of a column in which fewer than ``FEW`` cases inside, or outside, are
out of order. With clusters, k is the largest number of disjoint pairs of different clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata

from galenic.record.errors import GateError
from galenic.stats.clusters import dependent, spread
from galenic.stats.estimate import ALPHA, Bounds, Estimate

FEW = 5
"""Fewer cases out of order than this, and a variance estimate cannot be relied on (the rule of n p >= 5)."""


@dataclass(frozen=True)
class Auc:
    """An AUC and what its intervals need.

    Attributes:
        value: the mean over columns.
        influence: (n,) summing to zero within each stratum.
        strata: (n,) int.
        columns: (k,) the AUC of each column.
        members: (n, k) bool, which cases are in each column.
        components: (n, k) V.
        ranks: (n, k) midranks of the scores.
    """

    value: float
    influence: np.ndarray
    strata: np.ndarray
    columns: np.ndarray
    members: np.ndarray
    components: np.ndarray
    ranks: np.ndarray


def binary_auc(scores: np.ndarray, positive: np.ndarray) -> Auc:
    """Scores (n,), higher for the positive; positive (n,) bool."""
    member = positive.astype(bool)
    return _linearised(scores[:, None], member[:, None], member.astype(np.int64))


def macro_auc(scores: np.ndarray, labels: np.ndarray) -> Auc:
    """One-vs-rest, every class weighing the same: scores (n, classes), labels (n,) class indices."""
    return _linearised(scores, labels[:, None] == np.arange(scores.shape[1]), labels)


def multilabel_auc(scores: np.ndarray, labels: np.ndarray) -> Auc:
    """The mean over labels: scores (n, labels), labels (n, labels) 0/1."""
    return _linearised(scores, labels.astype(bool), np.zeros(len(labels), dtype=np.int64))


def auc_interval(auc: Auc, clusters: np.ndarray | None = None, alpha: float = ALPHA) -> Estimate:
    """DeLong on the logit scale, with the blind cases of the module's docstring."""
    clusters = dependent(clusters)
    found = spread(auc.influence, auc.strata, clusters, alpha)
    blind = _blind_widths(auc, clusters, alpha)
    if found.known:
        slope = auc.value * (1 - auc.value)
        middle, half = logit(auc.value), found.half_width / slope
        bounds = Bounds(float(expit(middle - half)), float(expit(middle + half)))
    else:
        bounds = Bounds(auc.value - blind.mean(), auc.value + blind.mean())
    cap = Bounds(1 - float(np.mean(blind * _sparse(auc, 1.0))), float(np.mean(blind * _sparse(auc, 0.0))))
    bounds = Bounds(min(bounds.low, cap.low), max(bounds.high, cap.high)).clipped(0, 1)
    method = "DeLong, logit" if clusters is None else "cluster-robust DeLong, logit"
    return Estimate(auc.value, *bounds, n=len(auc.influence), method=method, clusters=found.clusters)


def paired_auc_interval(first: Auc, second: Auc, clusters: np.ndarray | None = None, alpha: float = ALPHA) -> Estimate:
    """First minus second, on the same cases in the same order.

    Two models that put all cases into the same order, or whose components are equal case by case without either class
    being perfectly separated, differ by exactly 0. Any other variance of 0 is blind.
    """
    clusters, value = dependent(clusters), first.value - second.value
    found = spread(first.influence - second.influence, first.strata, clusters, alpha)
    half = found.half_width
    if not found.known:
        half = 0.0 if _same(first, second) else float(_blind_widths(first, clusters, alpha).mean())
    bounds = Bounds(value - half, value + half).clipped(-1, 1)
    method = "paired DeLong" if clusters is None else "cluster-robust paired DeLong"
    return Estimate(value, *bounds, n=len(first.influence), method=method, clusters=found.clusters)


def structural_components(scores: np.ndarray, member: np.ndarray) -> np.ndarray:
    """V (n,) of one column: scores (n,), member (n,) bool with both values."""
    return _components(rankdata(scores), scores, member)


def _components(ranks: np.ndarray, scores: np.ndarray, member: np.ndarray) -> np.ndarray:
    inside = int(member.sum())
    outside = len(member) - inside
    values = np.empty(len(member))
    values[member] = (ranks[member] - rankdata(scores[member])) / outside
    values[~member] = 1 - (ranks[~member] - rankdata(scores[~member])) / inside
    return values


def _linearised(scores: np.ndarray, members: np.ndarray, strata: np.ndarray) -> Auc:
    inside = members.sum(axis=0)
    outside = len(members) - inside
    for column in np.flatnonzero((inside == 0) | (outside == 0)):
        raise GateError(
            given=f"an AUC of class {column} with {inside[column]} cases in it and {outside[column]} outside",
            expected="at least one case of either kind",
            todo="use a split that holds every class",
        )
    scores = scores.astype(np.float64)
    ranks = rankdata(scores, axis=0)
    columns = range(scores.shape[1])
    components = np.stack([_components(ranks[:, k], scores[:, k], members[:, k]) for k in columns], axis=1)
    values = np.sum(components * members, axis=0) / inside
    raw = np.mean((components - values) / np.where(members, inside, outside), axis=1)
    _, stratum, counts = np.unique(strata, return_inverse=True, return_counts=True)
    influence = raw - (np.bincount(stratum, weights=raw) / counts)[stratum]
    return Auc(float(values.mean()), influence, strata, values, members, components, ranks)


def _same(first: Auc, second: Auc) -> bool:
    """True where the two models cannot be told apart by any pair of these cases."""
    if np.array_equal(first.ranks, second.ranks):
        return True
    separated = np.isin(first.columns, (0.0, 1.0)).any()
    return bool(np.array_equal(first.components, second.components) and not separated)


def _blind_widths(auc: Auc, clusters: np.ndarray | None, alpha: float) -> np.ndarray:
    """(k,) 1 - alpha^(1 / disjoint pairs) of each column; 1 where no pair is independent."""
    pairs = np.array([_disjoint_pairs(member, clusters) for member in auc.members.T], dtype=float)
    with np.errstate(divide="ignore"):
        widths: np.ndarray = 1 - alpha ** (1 / pairs)
    return widths


def _disjoint_pairs(member: np.ndarray, clusters: np.ndarray | None) -> int:
    """How many pairs (inside, outside) can be drawn so that no case, or no cluster, is used twice."""
    if clusters is None:
        inside = int(member.sum())
        return min(inside, len(member) - inside)
    inside, outside = len(np.unique(clusters[member])), len(np.unique(clusters[~member]))
    return min(inside, outside, len(np.unique(clusters)) // 2)


def _sparse(auc: Auc, ideal: float) -> np.ndarray:
    """(k,) True where fewer than ``FEW`` cases inside, or outside, have components that are not ``ideal``."""
    off = auc.components != ideal
    inside, outside = np.sum(off & auc.members, axis=0), np.sum(off & ~auc.members, axis=0)
    sparse: np.ndarray = np.minimum(inside, outside) < FEW
    return sparse
