"""The endpoints of the gate: what each is of one model, and of the difference between two.

| endpoint | of the cases | of one case | one model | artifact minus reference |
|---|---|---|---|---|
| accuracy | all | decision right (multi-label: share of labels right) | Wilson | Tango |
| sensitivity | label is positive | decision is positive | Wilson | Tango |
| specificity | label is not positive | decision is not positive | Wilson | Tango |
| auc | all | - | DeLong on the logit scale | paired DeLong |

With clusters every interval is the cluster-robust one. The scores of an AUC are log odds (a class against all others),
which order cases as probabilities do but do not saturate at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from galenic.record.errors import GateError
from galenic.record.predictions import Predictions
from galenic.record.task import TaskKind
from galenic.stats.auc import Auc, auc_interval, binary_auc, macro_auc, multilabel_auc, paired_auc_interval
from galenic.stats.clusters import dependent
from galenic.stats.estimate import Estimate
from galenic.stats.paired_proportions import paired_mean_interval
from galenic.stats.proportions import mean_interval

MIN_CLUSTERS = 20
"""Under this many groups of dependent cases no interval is to be relied on."""
MIN_CASES = 10
"""DeLong's normal approximation needs at least this many cases inside and outside of every class."""


@dataclass(frozen=True)
class Finding:
    """An estimate, and why it cannot carry a pass (empty where it can)."""

    estimate: Estimate
    weakness: str = ""


@dataclass(frozen=True)
class Endpoint:
    """``alone(predictions, alpha)`` and ``paired(artifact, reference, alpha)``; ``title`` is for people."""

    title: str
    alone: Callable[[Predictions, float], Finding]
    paired: Callable[[Predictions, Predictions, float], Finding]


def has_positives(predictions: Predictions) -> bool:
    """True where sensitivity and specificity mean something: some classes are positive, some are not, one per case."""
    some = 0 < len(set(predictions.positive)) < len(predictions.classes)
    return some and predictions.kind is not TaskKind.MULTI_LABEL


def is_positive(predictions: Predictions, labels: np.ndarray) -> np.ndarray:
    """(n,) bool: which of these class indices are of a positive class."""
    return np.isin(labels, predictions.positive)


def log_odds(logits: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(n,) log of p(inside) / p(outside) after softmax; logits (n, classes), inside (classes,) bool."""
    logits = logits.astype(np.float64)
    inside_sum: np.ndarray = np.logaddexp.reduce(logits[:, inside], axis=1)
    outside_sum: np.ndarray = np.logaddexp.reduce(logits[:, ~inside], axis=1)
    odds: np.ndarray = inside_sum - outside_sum
    return odds


def auc_of(predictions: Predictions) -> Auc:
    """Binary: of the positive class; more classes: macro one-vs-rest; multi-label: the mean over labels."""
    classes = len(predictions.classes)
    if predictions.kind is TaskKind.MULTI_LABEL:
        return multilabel_auc(predictions.logits, predictions.labels)
    if classes == 2:
        target = predictions.positive[0] if len(predictions.positive) == 1 else 1
        return binary_auc(log_odds(predictions.logits, np.arange(2) == target), predictions.labels == target)
    scores = [log_odds(predictions.logits, np.arange(classes) == k) for k in range(classes)]
    return macro_auc(np.stack(scores, axis=1), predictions.labels)


def positive_auc_of(predictions: Predictions) -> Auc:
    """All positive classes together against the others."""
    inside = np.isin(np.arange(len(predictions.classes)), predictions.positive)
    return binary_auc(log_odds(predictions.logits, inside), is_positive(predictions, predictions.labels))


def right(predictions: Predictions) -> np.ndarray:
    """(n,) 1 where the decision is right; multi-label: the share of labels that are."""
    hits: np.ndarray = (predictions.decisions() == predictions.labels).astype(np.float64)
    return np.asarray(hits.mean(axis=1)) if predictions.kind is TaskKind.MULTI_LABEL else hits


def _share(
    cases: Callable[[Predictions], np.ndarray], hits: Callable[[Predictions], np.ndarray], title: str
) -> Endpoint:
    """An endpoint that is the mean of ``hits`` over ``cases``."""

    def alone(predictions: Predictions, alpha: float) -> Finding:
        of = cases(predictions)
        clusters = _some(predictions.clusters, of)
        return _weighed(mean_interval(hits(predictions)[of], clusters, alpha))

    def paired(artifact: Predictions, reference: Predictions, alpha: float) -> Finding:
        of = cases(reference)
        clusters = _some(reference.clusters, of)
        return _weighed(paired_mean_interval(hits(artifact)[of], hits(reference)[of], clusters, alpha))

    return Endpoint(title, alone, paired)


def _everyone(predictions: Predictions) -> np.ndarray:
    return np.ones(len(predictions), dtype=bool)


def _with_disease(predictions: Predictions) -> np.ndarray:
    _need_positives(predictions)
    return is_positive(predictions, predictions.labels)


def _without_disease(predictions: Predictions) -> np.ndarray:
    return ~_with_disease(predictions)


def _called(predictions: Predictions) -> np.ndarray:
    return is_positive(predictions, predictions.decisions()).astype(np.float64)


def _not_called(predictions: Predictions) -> np.ndarray:
    return 1 - _called(predictions)


def _auc_alone(predictions: Predictions, alpha: float) -> Finding:
    auc = auc_of(predictions)
    return _weighed(auc_interval(auc, predictions.clusters, alpha), _thin(auc, predictions.clusters))


def _auc_paired(artifact: Predictions, reference: Predictions, alpha: float) -> Finding:
    first, second = auc_of(artifact), auc_of(reference)
    estimate = paired_auc_interval(first, second, reference.clusters, alpha)
    return _weighed(estimate, _thin(second, reference.clusters))


ENDPOINTS: Mapping[str, Endpoint] = {
    "auc": Endpoint("AUC", _auc_alone, _auc_paired),
    "sensitivity": _share(_with_disease, _called, "sensitivity"),
    "specificity": _share(_without_disease, _not_called, "specificity"),
    "accuracy": _share(_everyone, right, "accuracy"),
}


def _some(clusters: np.ndarray | None, of: np.ndarray) -> np.ndarray | None:
    return None if clusters is None else clusters[of]


def _weighed(estimate: Estimate, weakness: str = "") -> Finding:
    if estimate.clusters is not None and estimate.clusters < MIN_CLUSTERS:
        weakness = (
            f"its {estimate.n} cases come from {estimate.clusters} groups, and under {MIN_CLUSTERS} nothing passes"
        )
    return Finding(estimate, weakness)


def _thin(auc: Auc, clusters: np.ndarray | None) -> str:
    """Why an AUC rests on too little, or nothing."""
    inside = auc.members.sum(axis=0)
    fewest = int(np.minimum(inside, len(auc.members) - inside).min())
    if fewest < MIN_CASES:
        return f"one side of a class has {fewest} cases, and an AUC needs {MIN_CASES}"
    clusters = dependent(clusters)
    if clusters is None:
        return ""
    sides = [clusters[side] for member in auc.members.T for side in (member, ~member)]
    groups = min(len(np.unique(side)) for side in sides)
    if groups < MIN_CLUSTERS:
        return f"one side of a class comes from {groups} groups, and under {MIN_CLUSTERS} nothing passes"
    return ""


def _need_positives(predictions: Predictions) -> None:
    if not has_positives(predictions):
        raise GateError(
            given=f"a {predictions.kind.value} task with the positive classes {list(predictions.positive)}",
            expected="for sensitivity and specificity, one label per case and some classes positive, others not",
            todo="name the positive classes in the task, or declare margins and floors for auc or accuracy only",
        )
