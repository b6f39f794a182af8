"""One answer, in its three parts: raw rows to inputs, inputs to logits, logits to a decision.

preprocessing    raw (n, *raw_shape) -> inputs (n, *input_shape) float32
inference        inputs -> logits (n, classes) float32
postprocessing   logits -> probabilities (n, classes) float64, decisions (n,) or (n, classes)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from galenic.preprocess.transform import check_raw, to_inputs
from galenic.record.session import Session
from galenic.record.task import TaskKind

BATCH_ROWS = 256


def prepare(session: Session, raw: np.ndarray) -> np.ndarray:
    """The inputs of ``session`` for raw rows."""
    return to_inputs(session.artifact.preprocessing, raw)


def postprocess(logits: np.ndarray, kind: TaskKind) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (sigmoid for multi-label tasks, softmax otherwise) and decisions (0/1 at 0.5, or the largest)."""
    values = logits.astype(np.float64)
    if kind is TaskKind.MULTI_LABEL:
        probabilities = 0.5 * (1.0 + np.tanh(0.5 * values))
        return probabilities, (values > 0).astype(np.uint8)
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True), values.argmax(axis=1)


def run_raw(
    session: Session,
    raw: np.ndarray,
    batch_rows: int = BATCH_ROWS,
    told: Callable[[int], object] | None = None,
) -> np.ndarray:
    """(n, classes) float32 logits of raw rows, ``batch_rows`` at a time; ``told`` hears how many rows are done.

    Raises:
        DataError: a row is not what the preprocessing is about; it names the row's number in ``raw``.
    """
    if len(raw) == 0:
        return np.zeros((0, len(session.artifact.classes)), np.float32)
    check_raw(session.artifact.preprocessing, raw)
    parts = []
    for start in range(0, len(raw), batch_rows):
        parts.append(session.run(prepare(session, raw[start : start + batch_rows])))
        if told is not None:
            told(min(start + batch_rows, len(raw)))
    return np.concatenate(parts)
