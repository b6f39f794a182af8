"""Rows for a file that takes a fixed number of them at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def in_batches(answer: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, size: int) -> np.ndarray:
    """(n, ...) in, (n, classes) out of ``answer``, which takes ``size`` rows; the last rows are filled up with zeros."""
    missing = -len(inputs) % size
    if missing:
        inputs = np.concatenate([inputs, np.zeros((missing, *inputs.shape[1:]), inputs.dtype)])
    parts = [answer(inputs[start : start + size]) for start in range(0, len(inputs), size)]
    return np.concatenate(parts)[: len(inputs) - missing]
