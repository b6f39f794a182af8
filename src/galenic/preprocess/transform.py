"""Raw rows to model inputs, the one place where it happens.

    input = (raw * scale - mean) / std      per channel, in float32, then channels first

    raw     (n, height, width, channel) | (n, time, channel) | (n, feature)
    input   (n, channel, height, width) | (n, channel, time) | (n, feature)

Every step is an elementwise IEEE float32 operation, so a device and a training get the same bits. Text is made of token
ids before (``text.py``): raw (n, token) -> input (n, token), the same ids as int64.
"""

from __future__ import annotations

import numpy as np

from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality, Preprocessing


def to_inputs(spec: Preprocessing, raw: np.ndarray) -> np.ndarray:
    """(n, *raw_shape) integers or floats to (n, *input_shape) float32 (int64 for text), C-contiguous.

    Raises:
        DataError: the shape is not that of ``spec``, the type is not numeric, a value is NaN or infinite, or a token id
            is not in the vocabulary.
    """
    check_raw(spec, raw)
    if spec.text is not None:
        return np.ascontiguousarray(raw.astype(np.int64))
    first = raw if spec.modality is Modality.TABLE else np.moveaxis(raw, -1, 1)
    inputs = first.astype(np.float32, order="C")
    channel = (-1,) + (1,) * (
        first.ndim - 2
    )  # channels first before the sums: numpy is slow where the last axis is short
    inputs *= np.float32(spec.scale)
    inputs -= np.asarray(spec.mean, dtype=np.float32).reshape(channel)
    inputs /= np.asarray(spec.std, dtype=np.float32).reshape(channel)
    return inputs


def check_raw(spec: Preprocessing, raw: np.ndarray) -> None:
    """Refuse rows that ``spec`` is not about; DataError names the first row that is not finite."""
    if not isinstance(raw, np.ndarray) or raw.dtype.kind not in "uif":
        kind = raw.dtype if isinstance(raw, np.ndarray) else type(raw).__name__
        raise DataError(
            f"rows of type {kind}", "a numpy array of integers or floats", "convert the rows to numbers first"
        )
    if raw.ndim == 0 or raw.shape[1:] != spec.raw_shape:
        expected = ", ".join(str(side) for side in spec.raw_shape)
        raise DataError(
            f"rows of shape {raw.shape}",
            f"(n, {expected}): {spec.modality.value} rows with the channel last",
            "reshape or resize the rows, a single row needs a leading 1",
        )
    if spec.text is not None:
        _check_ids(raw, len(spec.text.vocabulary))
    elif raw.dtype.kind == "f":
        finite = np.isfinite(raw.reshape(len(raw), -1)).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise DataError(
                f"row {row} has a value that is NaN or infinite ({int((~finite).sum())} such rows)",
                "finite values",
                "repair or leave out these rows",
            )


def _check_ids(raw: np.ndarray, vocabulary: int) -> None:
    if raw.dtype.kind not in "ui":
        raise DataError(f"text rows of type {raw.dtype}", "whole token ids", "make them with galenic.preprocess.text")
    outside = ((raw < 0) | (raw >= vocabulary)).any(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise DataError(
            f"row {row} has a token id outside 0 to {vocabulary - 1} ({int(outside.sum())} such rows)",
            f"ids of the vocabulary of {vocabulary} pieces",
            "make the ids with the vocabulary that travels with the file",
        )
