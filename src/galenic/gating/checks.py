"""What must hold before predictions are judged. Anything that does not is a GateError that names the case."""

from __future__ import annotations

import numpy as np

from galenic.record.errors import GateError
from galenic.record.predictions import Predictions
from galenic.record.task import SplitName, TaskKind


def check_predictions(predictions: Predictions, whose: str = "predictions") -> None:
    """Raise GateError unless shapes, labels, ids and logits are those of a split that can be scored."""
    _check_shapes(predictions, whose)
    _check_values(predictions, whose)
    _check_labels(predictions, whose)


def check_contrast(predictions: Predictions, whose: str = "predictions") -> None:
    """Raise GateError unless every class has cases inside and outside, without which it has no AUC."""
    labels, classes = predictions.labels, len(predictions.classes)
    multi_label = predictions.kind is TaskKind.MULTI_LABEL
    inside = labels.sum(axis=0) if multi_label else np.bincount(labels, minlength=classes)
    lonely = [k for k in range(classes) if inside[k] in (0, len(labels))]
    if lonely:
        names = ", ".join(f"{predictions.classes[k]} ({inside[k]} of {len(labels)})" for k in lonely)
        raise GateError(
            given=f"{whose} hold no contrast for: {names}, in the {predictions.split.value} split",
            expected="at least one case inside and one outside every class",
            todo="use a split that holds every class",
        )


def check_pair(artifact: Predictions, reference: Predictions) -> None:
    """Raise GateError unless both are sound, of the test split, and about the same cases in the same order."""
    check_predictions(artifact, "the artifact's predictions")
    check_predictions(reference, "the reference's predictions")
    for predictions, whose in ((artifact, "artifact"), (reference, "reference")):
        if predictions.split is not SplitName.TEST:
            raise GateError(
                given=f"the {whose}'s predictions are of the {predictions.split.value} split",
                expected="the test split, which nothing was fitted or chosen on",
                todo="predict the test split with both models",
            )
        check_contrast(predictions, f"the {whose}'s predictions")
    _check_same_task(artifact, reference)
    _check_same_ids(artifact.ids, reference.ids)
    _check_same_labels(artifact, reference)
    _check_same_clusters(artifact, reference)
    if artifact.split_hash != reference.split_hash:
        raise GateError(
            given=f"split hashes {artifact.split_hash[:12]} (artifact) and {reference.split_hash[:12]} (reference)",
            expected="predictions made from the same data",
            todo="predict both again from one task",
        )


def _check_shapes(predictions: Predictions, whose: str) -> None:
    n, classes = len(predictions.ids), len(predictions.classes)
    multi_label = predictions.kind is TaskKind.MULTI_LABEL
    wanted = {
        "logits": (predictions.logits, (n, classes)),
        "labels": (predictions.labels, (n, classes) if multi_label else (n,)),
    }
    if predictions.clusters is not None:
        wanted["clusters"] = (predictions.clusters, (n,))
    if n == 0 or classes < (1 if multi_label else 2):
        raise GateError(
            given=f"{whose} hold {n} cases and {classes} classes",
            expected="at least one case, and two classes (one label in a multi-label task)",
            todo="predict a split that is not empty",
        )
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise GateError(
                given=f"{whose} have {name} of shape {array.shape}",
                expected=f"{shape}: {n} cases, {classes} classes",
                todo="predict again with a model that has one output per class",
            )


def _check_values(predictions: Predictions, whose: str) -> None:
    finite = np.isfinite(predictions.logits).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise GateError(
            given=f"{whose} have NaN or Inf in {int((~finite).sum())} of {len(finite)} rows, first in row {row} "
            f"(case {predictions.ids[row]}, {predictions.split.value} split)",
            expected="finite logits",
            todo="look for an overflow in the file that made them, or for NaN in its inputs",
        )
    ids, first, counts = np.unique(predictions.ids, return_index=True, return_counts=True)
    if counts.max() > 1:
        row = int(first[np.argmax(counts > 1)])
        raise GateError(
            given=f"{whose} name case {predictions.ids[row]} {int(counts[counts > 1][0])} times, first in row {row}",
            expected=f"{len(predictions.ids)} different case ids, not {len(ids)}",
            todo="give every case of the split an id of its own",
        )


def _check_labels(predictions: Predictions, whose: str) -> None:
    multi_label, classes = predictions.kind is TaskKind.MULTI_LABEL, len(predictions.classes)
    most = 1 if multi_label else classes - 1
    labels = predictions.labels
    right = np.issubdtype(labels.dtype, np.integer) & (labels >= 0) & (labels <= most)
    if not np.all(right):
        row = int(np.argwhere(~np.asarray(right))[0][0])
        raise GateError(
            given=f"{whose} have the label {labels[row]} in row {row} (case {predictions.ids[row]})",
            expected=f"whole numbers from 0 to {most}",
            todo="correct the labels of the task",
        )
    outside = [k for k in predictions.positive if not 0 <= k < classes]
    if outside:
        raise GateError(
            given=f"{whose} call class {outside[0]} positive",
            expected=f"class indices from 0 to {classes - 1}",
            todo="correct the positive classes of the task",
        )


def _check_same_task(artifact: Predictions, reference: Predictions) -> None:
    for name in ("kind", "classes", "positive"):
        ours, theirs = getattr(artifact, name), getattr(reference, name)
        if ours != theirs:
            raise GateError(
                given=f"{name} {ours!s} (artifact) and {theirs!s} (reference)",
                expected="predictions about the same task",
                todo="predict both again from one task",
            )


def _check_same_ids(ours: np.ndarray, theirs: np.ndarray) -> None:
    if len(ours) == len(theirs) and np.array_equal(ours, theirs):
        return
    if set(ours.tolist()) != set(theirs.tolist()):
        missing = sorted(set(theirs.tolist()) ^ set(ours.tolist()))
        raise GateError(
            given=f"{len(missing)} cases that only one of the two has, such as {missing[0]}",
            expected=f"the same cases ({len(ours)} of the artifact, {len(theirs)} of the reference)",
            todo="predict the same split with both",
        )
    row = int(np.argmax(ours != theirs))
    raise GateError(
        given=f"the same cases in another order: row {row} is {ours[row]} (artifact) and {theirs[row]} (reference)",
        expected="the same order, so that cases are compared with themselves",
        todo="predict both again without shuffling",
    )


def _check_same_labels(artifact: Predictions, reference: Predictions) -> None:
    if np.array_equal(artifact.labels, reference.labels):
        return
    row = int(np.argwhere(artifact.labels != reference.labels)[0][0])
    raise GateError(
        given=f"labels that differ, first in row {row} (case {artifact.ids[row]}): "
        f"{artifact.labels[row]} (artifact) and {reference.labels[row]} (reference)",
        expected="one truth for both",
        todo="predict both again from one task",
    )


def _check_same_clusters(artifact: Predictions, reference: Predictions) -> None:
    ours, theirs = artifact.clusters, reference.clusters
    if (ours is None) != (theirs is None) or (ours is not None and not np.array_equal(ours, np.asarray(theirs))):
        raise GateError(
            given="clusters that differ between artifact and reference",
            expected="the same patients, lesions or subjects for both",
            todo="predict both again from one task",
        )
