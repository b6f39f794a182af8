"""Seeded splits: stratified by class, with rows that belong together kept on one side."""

from __future__ import annotations

import numpy as np

from galenic.record.task import Split


def sample_rows(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``count`` rows drawn without replacement in the classes' own shares, as sorted indices.

    The shares are rounded by largest remainder, so they add up to ``count``.
    """
    strata = _strata(labels)
    count = min(count, len(strata))
    random = np.random.default_rng([seed, len(strata)])
    values, sizes = np.unique(strata, return_counts=True)
    shares = sizes * (count / len(strata))
    take = np.floor(shares).astype(int)
    take[np.argsort(-(shares - take), kind="stable")[: count - int(take.sum())]] += 1
    chosen = [
        random.permutation(np.flatnonzero(strata == value))[:number] for value, number in zip(values, take, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def three_ways(
    labels: np.ndarray, together: np.ndarray, validation: float, test: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(train, validation, test) row indices, sorted.

    Args:
        labels: (n,) int class indices.
        together: (n,) keys; rows with the same key (identical rows, one patient) stay on one side.
        validation: its share of the rows of each class.
        test: the same.
        seed: of the shuffle.
    """
    _, first, key = np.unique(together, return_index=True, return_inverse=True)
    key_label, key_size = labels[first], np.bincount(key)
    random = np.random.default_rng([seed, len(labels)])
    side = np.zeros(len(first), dtype=int)
    for value in np.unique(key_label):
        members = random.permutation(np.flatnonzero(key_label == value))
        rows = np.cumsum(key_size[members]) - key_size[members]
        total = int(key_size[members].sum())
        side[members[rows < round((validation + test) * total)]] = 1
        side[members[rows < round(test * total)]] = 2
    row_side = side[key]
    return np.flatnonzero(row_side == 0), np.flatnonzero(row_side == 1), np.flatnonzero(row_side == 2)


def hold_out(split: Split, together: np.ndarray, count: int, seed: int) -> tuple[Split, Split]:
    """(rest, about ``count`` rows), stratified; for data that come without a validation split."""
    rest, held, _ = three_ways(split.labels, together, min(0.5, count / len(split)), 0.0, seed)
    return split.take(rest), split.take(held)


def _strata(labels: np.ndarray) -> np.ndarray:
    """(n,) one value per row to stratify by: the class, or whether any finding is there."""
    return labels if labels.ndim == 1 else labels.any(axis=1).astype(int)
