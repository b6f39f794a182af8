"""Predictions: what a model said about each case. Whatever judges compares these and never sees a model."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from galenic.record.errors import DataError
from galenic.record.task import SplitName, TaskKind

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Predictions:
    """The logits of one artifact on one split.

    Attributes:
        ids: (n,) str case ids.
        labels: (n,) int64, or (n, classes) uint8 for multi-label tasks.
        logits: (n, classes) float32, before softmax or sigmoid.
        split: which split the cases are.
        split_hash: the sha256 of that split's data.
        kind, classes, positive: as in the task.
        made_by: the sha256 of the file that made them.
        groups: name -> (n,) str.
        clusters: (n,) str or None, rows that are not independent share a value.
    """

    ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    split: SplitName
    split_hash: str
    kind: TaskKind
    classes: tuple[str, ...]
    positive: tuple[int, ...]
    made_by: str
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    clusters: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def probabilities(self) -> np.ndarray:
        """(n, classes) float64: sigmoid for multi-label tasks, softmax otherwise."""
        logits = self.logits.astype(np.float64)
        if self.kind is TaskKind.MULTI_LABEL:
            return 0.5 * (1.0 + np.tanh(0.5 * logits))
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
        return probabilities

    def decisions(self) -> np.ndarray:
        """(n,) class indices by the largest logit, or (n, classes) 0/1 at probability 0.5 for multi-label tasks."""
        if self.kind is TaskKind.MULTI_LABEL:
            return (self.logits > 0).astype(np.uint8)
        chosen: np.ndarray = self.logits.argmax(axis=1)
        return chosen

    def save(self, path: Path) -> None:
        """Write one .npz without pickles (atomic writing is the store's business)."""
        header = {
            "format_version": FORMAT_VERSION,
            "split": self.split.value,
            "split_hash": self.split_hash,
            "kind": self.kind.value,
            "classes": self.classes,
            "positive": self.positive,
            "made_by": self.made_by,
        }
        arrays = {"ids": self.ids.astype(str), "labels": self.labels, "logits": self.logits.astype(np.float32)}
        arrays |= {f"group_{name}": values.astype(str) for name, values in self.groups.items()}
        arrays["header"] = np.array(json.dumps(header))
        if self.clusters is not None:
            arrays["clusters"] = self.clusters.astype(str)
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what ``save`` wrote; raises DataError where the file is not one."""
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(str(arrays.pop("header")))
            if header["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format version {header['format_version']}")
            return cls(
                ids=arrays["ids"],
                labels=arrays["labels"],
                logits=arrays["logits"],
                split=SplitName(header["split"]),
                split_hash=header["split_hash"],
                kind=TaskKind(header["kind"]),
                classes=tuple(header["classes"]),
                positive=tuple(header["positive"]),
                made_by=header["made_by"],
                groups={name.removeprefix("group_"): a for name, a in arrays.items() if name.startswith("group_")},
                clusters=arrays.get("clusters"),
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                given=f"{path} is not a predictions file ({error})",
                expected=f"an .npz written by galenic, format version {FORMAT_VERSION}",
                todo="make it again with `galenic compress`",
            ) from error
