"""Metrics of one model's predictions, each with a two-sided 95 % interval and the number of cases it rests on.

accuracy, auc (and auc_positive where several classes of which some are positive), balanced_accuracy; sensitivity and
specificity where classes are positive; for ordinal tasks also quadratic_kappa and mean_absolute_error (in grades).
Multi-label tasks have accuracy (the mean over labels, as MedMNIST's evaluator) and auc: the others are not defined.
"""

from __future__ import annotations

import numpy as np

from galenic.gating.checks import check_contrast, check_predictions
from galenic.gating.endpoints import ENDPOINTS, has_positives, positive_auc_of, right
from galenic.record.predictions import Predictions
from galenic.record.report import Confusion, Metric
from galenic.record.task import TaskKind
from galenic.stats.agreement import quadratic_kappa
from galenic.stats.auc import auc_interval
from galenic.stats.clusters import dependent, spread
from galenic.stats.estimate import ALPHA, Estimate
from galenic.stats.proportions import effective_bounds, mean_interval


def metrics(predictions: Predictions) -> dict[str, Metric]:
    """Every metric that the task's kind defines. Raises GateError where predictions cannot be scored."""
    check_predictions(predictions)
    check_contrast(predictions)
    names = ["accuracy", "auc"] + (["sensitivity", "specificity"] if has_positives(predictions) else [])
    found = {name: ENDPOINTS[name].alone(predictions, ALPHA).estimate for name in names}
    if has_positives(predictions) and len(predictions.classes) > 2:
        found["auc_positive"] = auc_interval(positive_auc_of(predictions), predictions.clusters)
    if predictions.kind is not TaskKind.MULTI_LABEL:
        found["balanced_accuracy"] = balanced_accuracy(predictions)
    if predictions.kind is TaskKind.ORDINAL:
        found["quadratic_kappa"] = quadratic_kappa(
            predictions.labels, predictions.decisions(), len(predictions.classes), predictions.clusters
        )
        found["mean_absolute_error"] = mean_absolute_error(predictions)
    return {name: Metric(value=e.value, low=e.low, high=e.high, n=e.n) for name, e in found.items()}


def confusion(predictions: Predictions) -> Confusion | None:
    """Counts[true][decided]; None for multi-label tasks, where a case has no single decision."""
    check_predictions(predictions)
    if predictions.kind is TaskKind.MULTI_LABEL:
        return None
    classes = len(predictions.classes)
    cells = np.bincount(predictions.labels.astype(np.int64) * classes + predictions.decisions(), minlength=classes**2)
    rows = cells.reshape(classes, classes).tolist()
    return Confusion(split=predictions.split.value, counts=tuple(tuple(row) for row in rows))


def balanced_accuracy(predictions: Predictions) -> Estimate:
    """The mean over classes of the share that is right, stratified by class."""
    labels, hits = predictions.labels, right(predictions)
    clusters = dependent(predictions.clusters)
    counts = np.bincount(labels, minlength=len(predictions.classes))
    recalls = np.bincount(labels, weights=hits, minlength=len(counts)) / counts
    influence = (hits - recalls[labels]) / (len(counts) * counts[labels])
    value, fewest = float(recalls.mean()), int(counts.min())
    found = spread(influence, labels, clusters, ALPHA)
    if clusters is not None:
        fewest = min(len(np.unique(clusters[labels == k])) for k in range(len(counts)))
    bounds = effective_bounds(value, found, fewest, len(labels))
    return Estimate(value, *bounds, n=len(labels), method="Wilson score, effective n", clusters=found.clusters)


def mean_absolute_error(predictions: Predictions) -> Estimate:
    """The mean number of grades between decision and label."""
    scale = len(predictions.classes) - 1
    share = mean_interval(np.abs(predictions.decisions() - predictions.labels) / scale, predictions.clusters)
    return Estimate(share.value * scale, share.low * scale, share.high * scale, share.n, share.method, share.clusters)
