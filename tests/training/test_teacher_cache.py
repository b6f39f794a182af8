"""The teacher answers each view of a row once, also across a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from galenic.training.objective import Batch
from galenic.training.teacher_cache import TeacherCache


def batch(rows: list[int], view: int) -> Batch:
    return Batch(torch.full((len(rows), 3), float(view)), torch.zeros(len(rows)), np.array(rows), view)


def doubled(inputs: np.ndarray) -> np.ndarray:
    return inputs[:, :2] * 2 + 1


def test_the_teacher_is_asked_once_per_row_and_view(tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path / "cache.npy", (2, 4, 2), doubled)
    first = cache.logits(batch([0, 3], 1))
    assert first.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert cache.asked == 2
    cache.logits(batch([3, 0], 1))
    assert cache.asked == 2
    cache.logits(batch([0], 0))
    assert cache.asked == 3


def test_the_cache_survives_a_restart(tmp_path: Path) -> None:
    TeacherCache(tmp_path / "cache.npy", (1, 4, 2), doubled).logits(batch([1, 2], 0))

    def refuses(inputs: np.ndarray) -> np.ndarray:
        raise AssertionError("asked again")

    again = TeacherCache(tmp_path / "cache.npy", (1, 4, 2), refuses)
    assert again.logits(batch([2, 1], 0)).tolist() == [[1.0, 1.0], [1.0, 1.0]]
