"""Labels as files have them, to labels as a Task has them.

single-label, ordinal   (n,) or (n, 1) whole numbers in 0 .. classes - 1   ->  (n,) int64
multi-label             (n, classes) of 0 and 1                            ->  (n, classes) uint8
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from galenic.record.errors import DataError, InputError
from galenic.record.task import TaskKind
from galenic.tasks.source import unknown_name


def read_labels(where: str, split: str, kind: TaskKind, labels: np.ndarray) -> np.ndarray:
    """Labels of the right shape and type; what looks like segmentation or regression is refused by name."""
    place = f"{where}, split {split}"
    if labels.ndim >= 3:
        raise DataError(
            f"{place}: labels of shape {labels.shape} are masks, a segmentation task",
            "one label per image: segmentation is not supported yet",
            "name another label array with labels_key",
        )
    if labels.dtype.kind == "f":
        raise DataError(
            f"{place}: labels of type {labels.dtype} are measured values, a regression task",
            "whole numbers, one per class: regression is not supported yet",
            "cut the values into grades and save them as integers",
        )
    if labels.dtype.kind not in "uib":
        raise DataError(f"{place}: labels of type {labels.dtype}", "whole numbers from 0", "number the classes")
    return _multi(place, labels) if kind is TaskKind.MULTI_LABEL else _single(place, labels)


def _single(place: str, labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise DataError(
            f"{place}: labels of shape {labels.shape}, {labels.shape[1]} per row",
            "one class per row",
            "set kind to multi-label, or save the class index alone",
        )
    flat = labels.reshape(-1).astype(np.int64)
    below = np.flatnonzero(flat < 0)
    if len(below):
        raise DataError(
            f"{place}, row {below[0]}: label {flat[below[0]]} is out of range ({len(below)} such rows)",
            "class indices from 0",
            "number the classes from 0, and take unlabelled rows out",
        )
    return flat


def _multi(place: str, labels: np.ndarray) -> np.ndarray:
    if labels.ndim != 2 or labels.shape[1] < 2:
        raise DataError(
            f"{place}: labels of shape {labels.shape}", "(n, classes) of 0 and 1", "set kind to single-label or ordinal"
        )
    bad = np.flatnonzero(((labels != 0) & (labels != 1)).any(axis=1))
    if len(bad):
        raise DataError(
            f"{place}, row {bad[0]}: labels {labels[bad[0]].tolist()} are out of range ({len(bad)} such rows)",
            "0 or 1 for each class",
            "save each class as absent (0) or present (1)",
        )
    return labels.astype(np.uint8)


def name_classes(labels: Sequence[np.ndarray], given: Sequence[str] | None) -> tuple[str, ...]:
    """The given names, or the indices as names: 0 up to the largest label."""
    if given:
        return tuple(str(name) for name in given)
    if labels[0].ndim == 2:
        return tuple(str(index) for index in range(labels[0].shape[1]))
    return tuple(str(index) for index in range(max(int(part.max()) for part in labels) + 1))


def check_range(where: str, split: str, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """Every label has a class."""
    if labels.ndim == 2:
        if labels.shape[1] != len(classes):
            raise DataError(
                f"{where}, split {split}: {labels.shape[1]} labels per row",
                f"{len(classes)}, one per class ({', '.join(classes)})",
                "correct the class names or the labels",
            )
        return
    above = np.flatnonzero(labels >= len(classes))
    if len(above):
        raise DataError(
            f"{where}, split {split}, row {above[0]}: label {labels[above[0]]} is out of range "
            f"({len(above)} such rows)",
            f"0 to {len(classes) - 1}, since the classes are {', '.join(classes)}",
            "correct the label or name all classes",
        )


def positive_indices(
    given: Sequence[str | int] | None, classes: tuple[str, ...], default: tuple[int, ...]
) -> tuple[int, ...]:
    """The classes that count as disease, by name or index; ``default`` where nothing is said."""
    if given is None:
        return default
    found = {_class_index(name, classes) for name in given}
    if len(found) == len(classes) and len(classes) == 2:
        raise InputError(f"both classes {classes} as positive", "one of them", "name the class that is disease")
    return tuple(sorted(found))


def default_positive(kind: TaskKind, classes: tuple[str, ...]) -> tuple[int, ...]:
    """Class 1 of two, every finding of a multi-label task, otherwise nothing: a file does not say what disease is."""
    if kind is TaskKind.MULTI_LABEL:
        return tuple(range(len(classes)))
    return (1,) if len(classes) == 2 else ()


def _class_index(name: str | int, classes: tuple[str, ...]) -> int:
    if isinstance(name, str) and name in classes:
        return classes.index(name)
    if str(name).isdigit() and int(name) < len(classes):
        return int(name)
    raise unknown_name("class", str(name), classes, "in positive")
