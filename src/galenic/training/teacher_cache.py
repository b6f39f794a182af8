"""A teacher's answers, one per (row, view), so that the teacher is asked about each view of a row at most once.

One fixed cached logit per image overfits (Beyer et al. 2022, arXiv:2106.05237), so there are K views of each row, drawn
once and cycled through, and the cache is keyed by the view (FKD, arXiv:2112.01528). Rows are asked in blocks of a fixed
size and order, so that what is kept does not depend on who asked first, nor in which batches.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from galenic.record.base import Record
from galenic.store.files import write_atomic
from galenic.training.loop import TrainingData
from galenic.training.objective import Batch

Predict = Callable[[np.ndarray], np.ndarray]
"""Preprocessed inputs (batch, *input_shape) -> what the teacher says about each, (batch, *shape) float32."""

BLOCK_ROWS = 128


class CacheKey(Record):
    """Everything that a teacher's answers depend on.

    Attributes:
        teacher: the sha256 of the weights or the file that answers.
        answers: which of its outputs (``logits``, or the names of layers and what is made of them).
        data: the sha256 of the rows.
        views: of the views: seed, augmentation and its version, as JSON.
        shape: (views, rows, *shape of one answer).
    """

    teacher: str
    answers: str
    data: str
    views: str
    shape: tuple[int, ...]


class TeacherCache:
    """Answers (views, rows, *shape) float32 in a memory-mapped file; NaN where the teacher has not been asked yet."""

    def __init__(self, folder: Path, key: CacheKey, data: TrainingData, predict: Predict) -> None:
        path = folder / f"answers-{key.digest()[:16]}.npy"
        if not path.exists():
            empty = np.full(key.shape, np.nan, dtype=np.float32)
            write_atomic(path, lambda aside: _save(aside, empty))
        self._answers = np.load(path, mmap_mode="r+")
        self._data, self._predict = data, predict
        self.asked = 0
        """How many rows the teacher has answered in this process."""

    def answers(self, batch: Batch) -> Tensor:
        """The teacher's answers for a batch, (batch, *shape) float32, on the labels' device."""
        self._fill(batch.view)
        return torch.from_numpy(np.asarray(self._answers[batch.view, batch.rows])).to(batch.labels.device)

    def _fill(self, view: int) -> None:
        rows = self._answers.shape[1]
        for start in range(0, rows, BLOCK_ROWS):
            block = np.arange(start, min(start + BLOCK_ROWS, rows))
            if np.isnan(self._answers[view, block]).any():
                inputs = self._data.inputs(view, block)
                self._answers[view, block] = self._predict(inputs.numpy())
                self.asked += len(block)


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
