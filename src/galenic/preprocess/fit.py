"""Find the mean and standard deviation of training rows.

    mean_c = E[raw_c * scale],  std_c = sqrt(E[(raw_c * scale - mean_c)^2])

over rows and positions, in float64 and two passes.

Both are rounded to 6 significant digits, so that their JSON form is exact. A constant channel gets std 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality, Picture, Preprocessing, WordPieces

_CHUNK_VALUES = 1 << 22  # bounds the float64 copy to 32 MB
_CONSTANT = 1e-9  # a deviation below this share of the mean is rounding, not signal


def fit_preprocessing(
    modality: Modality,
    raw_train: np.ndarray,
    scale: float,
    text: WordPieces | None = None,
    picture: Picture | None = None,
) -> Preprocessing:
    """The preprocessing whose mean and std are those of ``raw_train`` (n, *raw_shape), channel last; text has none."""
    if len(raw_train) == 0:
        raise DataError("no training rows", "at least one", "check the training split")
    if text is not None:
        shape = tuple(raw_train.shape[1:])
        return Preprocessing(modality=modality, raw_shape=shape, scale=scale, mean=(), std=(), text=text)
    mean, std = channel_moments(raw_train)
    mean, std = mean * scale, std * abs(scale)
    constant = std <= _CONSTANT * np.maximum(np.abs(mean), abs(scale))
    std = np.where(constant, 1.0, std)
    return Preprocessing(
        modality=modality,
        raw_shape=tuple(raw_train.shape[1:]),
        scale=scale,
        mean=tuple(_six_digits(value) for value in mean),
        std=tuple(_six_digits(value) for value in std),
        picture=picture,
    )


def channel_moments(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of the last axis, (channel,) float64 each."""
    channels = raw.shape[-1]
    count = raw.size // channels
    mean = sum((chunk.sum(axis=0) for chunk in _chunks(raw)), start=np.zeros(channels)) / count
    squares = sum((((chunk - mean) ** 2).sum(axis=0) for chunk in _chunks(raw)), start=np.zeros(channels))
    return mean, np.sqrt(squares / count)


def _chunks(raw: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _CHUNK_VALUES // max(1, raw[0].size))
    for start in range(0, len(raw), rows):
        yield raw[start : start + rows].reshape(-1, raw.shape[-1]).astype(np.float64)


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")
