"""Parity: two answers to the same inputs, such as a file's and those of the torch model that it came from."""

from __future__ import annotations

import numpy as np

from galenic.record.errors import ModelError
from galenic.record.report import Parity
from galenic.record.task import TaskKind
from galenic.runtimes.answer import postprocess


def compare(logits: np.ndarray, others: np.ndarray, kind: TaskKind) -> Parity:
    """How far two (n, classes) logits differ, and the share of equal decisions.

    A decision is a row's class; in multi-label tasks each of the n * classes yes or no. Relative differences are shares of the
    largest |logit| of the first, the reference; of 1 where all of its logits are 0.
    """
    if logits.shape != others.shape or len(logits) == 0:
        raise ModelError(
            given=f"answers of shape {logits.shape} and {others.shape}",
            expected="two answers of the same shape, with at least one row",
            todo="give both models the same rows",
        )
    if not (np.isfinite(logits).all() and np.isfinite(others).all()):
        raise ModelError(
            given="answers with NaN or infinite logits", expected="finite logits", todo="look at both models"
        )
    difference = np.abs(logits.astype(np.float64) - others.astype(np.float64))
    largest = float(np.abs(logits).max()) or 1.0
    agreement = np.mean(postprocess(logits, kind)[1] == postprocess(others, kind)[1])
    return Parity(
        max_difference=float(difference.max()),
        agreement=float(agreement),
        n=len(logits),
        relative_difference=float(difference.max()) / largest,
        mean_difference=float(difference.mean()) / largest,
    )
