"""Hold out whole groups (patients, records) so that every class keeps its share on both sides.

    cost = sum over classes of | held_c / total_c - share |
           + 100 for each class that is lost to training, + 1 for each that is not held out

where held_c counts the rows of class c in the groups that are held out. Of many seeded draws of round(share x groups) groups,
the one of the lowest cost is taken. Groups differ so much in their classes (one patient has all of the rare beats) that a
single draw would often leave a class out.
"""

from __future__ import annotations

import numpy as np

from galenic.record.errors import DataError

DRAWS = 2000
LOST, NOT_HELD = 100.0, 1.0


def draw_groups(counts: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(groups,) bool: which are held out.

    Args:
        counts: (groups, classes) rows of each class in each group.
        share: of the groups, and of each class as nearly as they allow.
        seed: of the draws.

    Raises:
        DataError: there are fewer than 2 groups.
    """
    groups = len(counts)
    if groups < 2:
        raise DataError(f"{groups} group to hold some out of", "at least 2 patients or records", "add records")
    number = min(max(1, round(share * groups)), groups - 1)
    random = np.random.default_rng([seed, groups])
    held = np.zeros((DRAWS, groups), dtype=bool)
    for draw in held:
        draw[random.permutation(groups)[:number]] = True
    there = counts.sum(axis=0) > 0
    kinds, total = counts[:, there].astype(np.float64), counts.sum(axis=0)[there]
    inside = held @ kinds
    cost = np.abs(inside / total - share).sum(axis=1)
    cost += LOST * (inside == total).sum(axis=1) + NOT_HELD * (inside == 0).sum(axis=1)
    best: np.ndarray = held[int(np.argmin(cost))]
    return best
