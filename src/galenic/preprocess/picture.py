"""A picture file of any size to the raw rows that a task's own pictures became: one, or one for each frame that the task took.

    decode (grey or RGB, upright) -> the middle square, or all of it -> resize        as Preprocessing.picture says

The web page does the same in JavaScript (``publish/web/assets/js/inputs.js``), value for value.
"""

from __future__ import annotations

import numpy as np

from galenic.preprocess.image import decode_frames, resize
from galenic.record.preprocessing import Preprocessing


def picture_rows(spec: Preprocessing, data: bytes, name: str, *, burned_in: bool = False) -> np.ndarray:
    """(n, side, side, channel) uint8 from the bytes of a PNG, JPEG or DICOM file; n is 1 but where all frames are rows.

    Args:
        spec: what the rows are to be.
        data: the file's bytes.
        name: the file's name, for errors.
        burned_in: whether to take a DICOM file that says a patient can be told from its pixels.

    Raises:
        DataError: ``spec`` is not about pictures, or the bytes are no whole picture; it says ``name``.
    """
    picture = spec.of_pictures()
    side, _, channels = spec.raw_shape
    images = decode_frames(data, name, channels, frames=picture.frames, burned_in=burned_in)
    return np.stack([resize(image, side, cropped=picture.cropped, resample=picture.resample) for image in images])
