"""A picture file of any size to the raw row that a task's own pictures became.

    decode (grey or RGB, upright) -> the middle square, or all of it -> resize        as Preprocessing.picture says

The web page does the same in JavaScript (``publish/web/assets/js/inputs.js``), value for value.
"""

from __future__ import annotations

import numpy as np

from galenic.preprocess.image import decode, resize
from galenic.record.preprocessing import Preprocessing


def picture_row(spec: Preprocessing, data: bytes, name: str) -> np.ndarray:
    """(1, side, side, channel) uint8 from the bytes of a PNG, JPEG or DICOM file.

    Raises:
        DataError: ``spec`` is not about pictures, or the bytes are no whole picture; it says ``name``.
    """
    picture = spec.of_pictures()
    side, _, channels = spec.raw_shape
    image = decode(data, name, channels)
    return resize(image, side, cropped=picture.cropped, resample=picture.resample)[None]
