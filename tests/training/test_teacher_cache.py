"""The teacher answers each view of a row once, also across a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.record.training import Flips
from galenic.training.augment import Views
from galenic.training.loop import TrainingData
from galenic.training.objective import Batch
from galenic.training.teacher_cache import CacheKey, TeacherCache


@pytest.fixture
def data(task) -> TrainingData:
    views = Views(task.preprocessing.modality, len(task.train), 0, 2, True, Flips.NONE)
    return TrainingData(task.train, task.preprocessing, task.kind, views)


def key(data: TrainingData) -> CacheKey:
    return CacheKey(teacher="t", answers="logits", data="d", views="v", shape=(2, len(data.split), 2))


def batch(rows: list[int], view: int) -> Batch:
    return Batch(torch.zeros(len(rows), 1), torch.zeros(len(rows)), np.array(rows), view)


def sums(inputs: np.ndarray) -> np.ndarray:
    return np.stack([inputs.sum(axis=(1, 2, 3)), inputs.max(axis=(1, 2, 3))], axis=1)


def test_the_teacher_is_asked_once_per_row_and_view(data: TrainingData, tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path, key(data), data, sums)
    rows = np.array([0, 3])
    expected = sums(data.inputs(1, rows).numpy())
    assert cache.answers(batch([0, 3], 1)).numpy() == pytest.approx(expected)
    assert cache.asked == len(data.split), "a view is asked as a whole, in blocks"
    cache.answers(batch([5, 0], 1))
    assert cache.asked == len(data.split)
    cache.answers(batch([0], 0))
    assert cache.asked == 2 * len(data.split)


def test_the_cache_survives_a_restart(data: TrainingData, tmp_path: Path) -> None:
    first = TeacherCache(tmp_path, key(data), data, sums).answers(batch([1, 2], 0))

    def refuses(inputs: np.ndarray) -> np.ndarray:
        raise AssertionError("asked again")

    again = TeacherCache(tmp_path, key(data), data, refuses)
    assert torch.equal(again.answers(batch([1, 2], 0)), first)
