"""A teacher's logits, one per (row, view), so that the teacher answers each view of a row at most once.

One fixed cached logit per image overfits (Beyer et al. 2022, arXiv:2106.05237), so there are K views of each row, drawn
once and cycled through, and the cache is keyed by the view (FKD, arXiv:2112.01528). It lies on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from galenic.store.files import write_atomic
from galenic.training.objective import Batch

Predict = Callable[[Float[np.ndarray, "b ..."]], Float[np.ndarray, "b c"]]
"""Preprocessed inputs (batch, *input_shape) float32 -> logits (batch, classes) float32."""


class TeacherCache:
    """Logits (views, rows, classes) float32 in a memory-mapped file; NaN where the teacher has not been asked yet."""

    def __init__(self, path: Path, shape: tuple[int, int, int], predict: Predict) -> None:
        if not path.exists():
            empty = np.full(shape, np.nan, dtype=np.float32)
            write_atomic(path, lambda aside: _save(aside, empty))
        self._logits = np.load(path, mmap_mode="r+")
        self._predict = predict
        self.asked = 0
        """How many rows the teacher has answered in this process."""

    def logits(self, batch: Batch) -> Float[Tensor, "b c"]:
        """The teacher's logits of a batch, from the cache or, the first time, from the teacher."""
        cached = np.asarray(self._logits[batch.view, batch.rows])
        if np.isnan(cached).any():
            # The whole batch is asked again after a kill, so that its logits are those of an undisturbed run.
            cached = self._predict(batch.inputs.numpy(force=True)).astype(np.float32)
            self._logits[batch.view, batch.rows] = cached
            self.asked += len(batch.rows)
        return torch.from_numpy(cached).to(batch.inputs.device)


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
