"""Calibration rows of a user's own, held against the task that the model was built for: shape, statistics, and the test set.

    a channel's mean may lie at most one of the task's standard deviations from the task's mean, and
    its standard deviation may be at most three times larger or smaller
Rows that were normalised in another way (0 to 255 instead of 0 to 1, or not at all) are far outside of both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DataError
from galenic.record.task import Task

MOST_SHIFT = 1.0  # standard deviations
MOST_SPREAD = 3.0  # times
SAMPLE_ROWS = 512


def check_rows(batches: Iterable[Tensor], task: Task) -> None:
    """Refuse rows that are not like the task's, or that are of its test set.

    Args:
        batches: (batch, *input_shape) preprocessed rows.
        task: that the model was built for.

    Raises:
        DataError: another shape, another normalisation, or a row of the test set.
    """
    rows = np.concatenate([batch.numpy() for batch in batches] or [np.zeros((0, *task.preprocessing.input_shape))])
    if rows.shape[1:] != task.preprocessing.input_shape:
        raise DataError(
            given=f"calibration rows of shape {rows.shape[1:]}",
            expected=f"{task.preprocessing.input_shape}, which is what the preprocessing of {task.name} gives",
            todo="preprocess them as the task's rows are, channels first",
        )
    if task.preprocessing.text is None:
        _check_statistics(rows, task)
    tested = {row_hash(row) for row in to_inputs(task.preprocessing, task.test.inputs)}
    found = sum(row_hash(row) in tested for row in rows)
    if found:
        raise DataError(
            given=f"{found} of {len(rows)} calibration rows that are rows of the test set of {task.name}",
            expected="rows that nothing is judged on",
            todo="give rows of the training or the calibration split",
        )


def row_hash(row: np.ndarray) -> str:
    """Of one preprocessed row's numbers."""
    return hashlib.sha256(np.ascontiguousarray(row, np.float32).tobytes()).hexdigest()


def _check_statistics(rows: np.ndarray, task: Task) -> None:
    known = to_inputs(task.preprocessing, task.train.inputs[:SAMPLE_ROWS])
    axes = (0, *range(2, known.ndim))
    mean, std = known.mean(axis=axes), known.std(axis=axes)
    found_mean, found_std = rows.mean(axis=axes), rows.std(axis=axes)
    varied = (std > 0) & (found_std > 0)
    shift = float((np.abs(found_mean - mean)[varied] / std[varied]).max(initial=0.0))
    spread = float(np.exp(np.abs(np.log(found_std[varied] / std[varied])).max(initial=0.0)))
    if shift > MOST_SHIFT or spread > MOST_SPREAD:
        raise DataError(
            given=f"calibration rows with means {_few(found_mean)} and standard deviations {_few(found_std)}",
            expected=f"numbers like those of {task.name}: means {_few(mean)}, standard deviations {_few(std)}",
            todo="normalise them as the task does (galenic.preprocess.transform.to_inputs)",
        )


def _few(values: np.ndarray) -> str:
    shown = ", ".join(f"{value:.3g}" for value in np.atleast_1d(values)[:3])
    return f"({shown}{', ...' if np.size(values) > 3 else ''})"
