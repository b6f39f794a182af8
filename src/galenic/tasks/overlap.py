"""Rows that stand on two sides of a split, and what is done about them.

Two rows are the same where their raw bytes are, or where they share a cluster (one lesion, one subject). A pair of
splits is counted by the rows of the later one, the one that judges: ``train_test`` is the number of test rows whose
twin was trained on. Calibration rows are training rows and are not counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from galenic.record.errors import DataError
from galenic.record.task import OverlapReport, Split, SplitName

_ORDER = (SplitName.TRAIN, SplitName.VALIDATION, SplitName.TEST)


class OverlapRule(StrEnum):
    """Refuse a task with overlap, or drop the rows from the side that does not judge."""

    REFUSE = "refuse"
    DROP_TRAIN = "drop-train"


def row_keys(inputs: np.ndarray) -> np.ndarray:
    """(n,) 16-byte hashes of the raw bytes of each row."""
    rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1)
    return np.array([hashlib.blake2b(row.data, digest_size=16).hexdigest() for row in rows])


def settle_overlap(
    where: str, splits: Mapping[SplitName, Split], cluster_name: str, rule: OverlapRule
) -> tuple[dict[SplitName, Split], OverlapReport]:
    """The splits without overlap and the counts.

    Under ``drop-train``, rows go from train where validation or test has them, and from validation where test has them.

    Raises:
        DataError: there is overlap and the rule is to refuse it.
    """
    keys = {name: row_keys(splits[name].inputs) for name in _ORDER}
    counts: dict[tuple[SplitName, SplitName], int] = {}
    drop = {name: np.zeros(len(splits[name]), dtype=bool) for name in _ORDER}
    examples: list[str] = []
    for early, late in ((_ORDER[0], _ORDER[1]), (_ORDER[0], _ORDER[2]), (_ORDER[1], _ORDER[2])):
        in_early, in_late = _shared(splits[early], splits[late], keys[early], keys[late])
        counts[early, late] = int(in_late.sum())
        drop[early] |= in_early
        examples += _describe(early, late, np.flatnonzero(in_early), np.flatnonzero(in_late))
    clustered = splits[SplitName.TRAIN].clusters is not None
    report = OverlapReport(
        train_validation=counts[SplitName.TRAIN, SplitName.VALIDATION],
        train_test=counts[SplitName.TRAIN, SplitName.TEST],
        validation_test=counts[SplitName.VALIDATION, SplitName.TEST],
        dropped=sum(int(mask.sum()) for mask in drop.values()) if rule is OverlapRule.DROP_TRAIN else 0,
        by=f"identical rows or the same {cluster_name}" if clustered else "identical rows",
    )
    if report.total and rule is OverlapRule.REFUSE:
        raise DataError(
            f"{where}: rows stand on two sides of a split ({report.by}): {'; '.join(examples)}",
            "splits without overlap",
            'set overlap = "drop-train" to drop them from the side that does not judge, or split anew',
        )
    kept = {name: splits[name].take(~mask) if mask.any() else splits[name] for name, mask in drop.items()}
    for name, split in kept.items():
        if len(split) == 0:
            raise DataError(
                f"{where}, split {name.value}: every row is also in a later split", "some rows left", "split anew"
            )
    return {**splits, **kept}, report


def _shared(early: Split, late: Split, early_keys: np.ndarray, late_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    in_early, in_late = np.isin(early_keys, late_keys), np.isin(late_keys, early_keys)
    if early.clusters is not None and late.clusters is not None:
        in_early |= np.isin(early.clusters, late.clusters)
        in_late |= np.isin(late.clusters, early.clusters)
    return in_early, in_late


def _describe(early: SplitName, late: SplitName, early_rows: np.ndarray, late_rows: np.ndarray) -> list[str]:
    if len(late_rows) == 0:
        return []
    first = ", ".join(str(row) for row in late_rows[:3])
    other = ", ".join(str(row) for row in early_rows[:3])
    return [f"{len(late_rows)} of {late.value} (first rows {first}) are also in {early.value} (first rows {other})"]
