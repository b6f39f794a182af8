"""Rows to time a file with where no data is given: drawn, seeded, of the shape and type that its preprocessing takes.

    image    uint8 from 0 to 255 where raw values are scaled by 1/255, as 8-bit pictures are
    text     whole rows of token ids, none of them padding
    others   (mean + std x normal) / scale, which is what training rows look like after their preprocessing
What a net computes takes the same time for any numbers, as long as none is denormal, infinite or all the same.
"""

from __future__ import annotations

from math import isclose

import numpy as np

from galenic.record.preprocessing import Modality, Preprocessing

EIGHT_BITS = 1 / 255


def drawn_rows(preprocessing: Preprocessing, count: int, seed: int = 0) -> np.ndarray:
    """(count, *raw_shape) raw rows; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    shape = (count, *preprocessing.raw_shape)
    if preprocessing.text is not None:
        return random.integers(1, len(preprocessing.text.vocabulary), shape, dtype=np.int64)
    if preprocessing.modality is Modality.IMAGE and isclose(preprocessing.scale, EIGHT_BITS, rel_tol=1e-6):
        return random.integers(0, 256, shape, dtype=np.uint8)
    mean, std = np.asarray(preprocessing.mean), np.asarray(preprocessing.std)
    rows: np.ndarray = ((mean + std * random.normal(size=shape)) / preprocessing.scale).astype(np.float32)
    return rows
