"""A task: what is decided, from what data. Arrays are numpy; nothing here reads a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np

from galenic.record.base import Record, content_hash
from galenic.record.errors import RecipeError
from galenic.record.preprocessing import Preprocessing
from galenic.record.training import Rows


class TaskKind(StrEnum):
    """How labels relate to classes."""

    SINGLE_LABEL = "single-label"
    MULTI_LABEL = "multi-label"
    ORDINAL = "ordinal"


class SplitName(StrEnum):
    """The four parts of a task; calibration is never taken from the test set."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    VALIDATION = "validation"
    TEST = "test"


class OverlapReport(Record):
    """How many rows of one split were found on another side, and what was done about it.

    ``transfer`` counts the transfer rows that are in validation or test too.
    """

    train_validation: int = 0
    train_test: int = 0
    validation_test: int = 0
    transfer: int = 0
    dropped: int = 0
    by: str = "identical rows"

    @property
    def total(self) -> int:
        """Rows that stand on two sides."""
        return self.train_validation + self.train_test + self.validation_test + self.transfer


@dataclass(frozen=True)
class Split:
    """One part of a task, row by row.

    Attributes:
        inputs: (n, *raw_shape), as stored (uint8 images, int16 or float32 signals, float32 tables).
        labels: (n,) int64 class indices, or (n, classes) uint8 for multi-label tasks.
        ids: (n,) str, one per case, unique within the task.
        groups: name -> (n,) str, for subgroup results (sex, age band, skin tone ...).
        clusters: (n,) str or None; rows of one lesion, patient or subject share a value.
        masks: (n, height, width) uint8 of 0/1, or None.
    """

    inputs: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    clusters: np.ndarray | None = None
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: np.ndarray) -> Split:
        """The rows of ``index`` (integers or a boolean mask), in that order."""
        return Split(
            inputs=self.inputs[index],
            labels=self.labels[index],
            ids=self.ids[index],
            groups={name: values[index] for name, values in self.groups.items()},
            clusters=None if self.clusters is None else self.clusters[index],
            masks=None if self.masks is None else self.masks[index],
        )


@dataclass(frozen=True)
class Task:
    """What is decided, from what data, and how a raw row becomes an input.

    Attributes:
        name: a short name for people.
        kind: single-label, multi-label or ordinal.
        classes: the names of the classes, in label order.
        positive: the indices of the classes that count as disease (for sensitivity); empty where nothing does.
        splits: train, calibration, validation and test.
        preprocessing: how a raw row becomes an input.
        source: the string that loads this task again, such as ``npz:breast.npz``.
        synthetic: True where no patient stands behind a row.
        overlap: what was found on two sides of a split.
        transfer: rows without labels (-1), for distillation by the teacher alone; None where there are none.
    """

    name: str
    kind: TaskKind
    classes: tuple[str, ...]
    positive: tuple[int, ...]
    splits: Mapping[SplitName, Split]
    preprocessing: Preprocessing
    source: str
    synthetic: bool = False
    overlap: OverlapReport = field(default_factory=OverlapReport)
    transfer: Split | None = None

    @property
    def train(self) -> Split:
        """The rows that weights are fitted on."""
        return self.splits[SplitName.TRAIN]

    @property
    def calibration(self) -> Split:
        """The rows that quantization ranges are found on."""
        return self.splits[SplitName.CALIBRATION]

    @property
    def validation(self) -> Split:
        """The rows that choices are made on."""
        return self.splits[SplitName.VALIDATION]

    @property
    def test(self) -> Split:
        """The rows that the gate reads once."""
        return self.splits[SplitName.TEST]

    def rows(self, which: Rows) -> Split:
        """The rows that a training learns from; RecipeError where unlabelled ones are wanted and there are none."""
        if which is Rows.TRAIN:
            return self.train
        if self.transfer is None:
            raise RecipeError(
                given=f"training.rows = {which.value!r} on {self.name}, which has no transfer rows",
                expected="a transfer set without labels",
                todo='name one in [task]: transfer = "folder:PATH" or "npz:PATH"',
            )
        return self.transfer if which is Rows.TRANSFER else joined(self.train, self.transfer)

    @property
    def outputs(self) -> int:
        """How many logits a model for this task has: one per class."""
        return len(self.classes)

    @cached_property
    def split_hashes(self) -> dict[str, str]:
        """Split name -> sha256 over its inputs, labels and ids."""
        return {name.value: _split_hash(split) for name, split in self.splits.items()}

    def question_hash(self, name: SplitName) -> str:
        """The sha256 of all that a judgement on this split depends on: its rows, groups and clusters, and what is asked."""
        split = self.splits[name]
        marks = {**split.groups, **({} if split.clusters is None else {"": split.clusters})}
        return content_hash(
            {
                "split": self.split_hashes[name.value],
                "kind": self.kind.value,
                "classes": self.classes,
                "positive": self.positive,
                "preprocessing": self.preprocessing.digest(),
                "marks": {mark: values.astype(str).tolist() for mark, values in marks.items()},
            }
        )

    @cached_property
    def content_hash(self) -> str:
        """The sha256 of all the data, the classes and the preprocessing."""
        return content_hash(
            {
                "kind": self.kind.value,
                "classes": self.classes,
                "positive": self.positive,
                "preprocessing": self.preprocessing.digest(),
                "splits": self.split_hashes,
            }
            | ({"transfer": _split_hash(self.transfer)} if self.transfer is not None else {})
        )


def joined(first: Split, second: Split) -> Split:
    """The rows of one split, then those of another; groups, clusters and masks, which only one of them may have, are left."""
    return Split(
        inputs=np.concatenate([first.inputs, second.inputs]),
        labels=np.concatenate([first.labels, second.labels]),
        ids=np.concatenate([first.ids, second.ids]),
    )


def _split_hash(split: Split) -> str:
    digest = hashlib.sha256()
    for array in (split.inputs, split.labels, split.ids.astype(str)):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
