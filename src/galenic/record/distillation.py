"""What ``galenic distill`` leaves: the students' files and how they stand on validation. No test set was read for it."""

from __future__ import annotations

from collections.abc import Mapping

from galenic.record.base import Record
from galenic.record.recipe import Recipe
from galenic.record.report import Metric, ProbeResult

FORMAT_VERSION = 1


class DistilledFile(Record):
    """One file of the chain with its validation metrics.

    Attributes:
        id: unique in the run, such as ``1-soft_target``.
        title: for people.
        path: inside the folder.
        sha256, size_bytes, parameters: of the file.
        metrics: on validation.
        gain: its AUC minus that of the student trained alone, paired; None where that was not trained, and for itself.
    """

    id: str
    title: str
    path: str
    sha256: str
    size_bytes: int
    parameters: int
    metrics: Mapping[str, Metric]
    gain: Metric | None = None


class DistillationResult(Record):
    """comparison.json: teachers first, then the student alone where it was trained, then what the phases made."""

    format_version: int = FORMAT_VERSION
    name: str
    split: str
    files: tuple[DistilledFile, ...]
    sentence: str
    probe: ProbeResult | None = None
    notes: tuple[str, ...] = ()
    recipe: Recipe
