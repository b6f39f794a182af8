"""Image files to arrays: decode PNG, JPEG and DICOM to grey or RGB, then resize to a square. Pillow reads PNG and JPEG, and
DICOM goes through ``dicom.py``.

``cropped`` keeps the aspect by cutting the middle of the longer side (MedMNIST's rule); without it the image is
squeezed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from galenic.preprocess.dicom import decode_dicom
from galenic.preprocess.dicom_file import SUFFIXES as DICOM_SUFFIXES
from galenic.preprocess.dicom_file import is_dicom
from galenic.record.errors import DataError
from galenic.record.preprocessing import FrameChoice
from galenic.record.preprocessing import Resample as Resample

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", *DICOM_SUFFIXES})
"""Of the files that are looked for in a folder of pictures. A DICOM file among them is told by its bytes too."""


_FILTERS = {Resample.BILINEAR: Image.Resampling.BILINEAR, Resample.BICUBIC: Image.Resampling.BICUBIC}
_MODES = {1: "L", 3: "RGB"}


def decode(data: bytes, name: str, channels: int = 3, *, burned_in: bool = False) -> np.ndarray:
    """The (height, width, channels) uint8 pixels of a PNG, a JPEG (upright by its EXIF tag) or a DICOM file of one frame.

    Arguments and errors are those of ``decode_frames``.
    """
    (image,) = decode_frames(data, name, channels, burned_in=burned_in)
    return image


def decode_frames(
    data: bytes, name: str, channels: int = 3, *, frames: FrameChoice | None = None, burned_in: bool = False
) -> Iterator[np.ndarray]:
    """The frames of a file that are wanted, one after the other, as ``decode`` gives one; a PNG or JPEG has one.

    Args:
        data: the file's bytes.
        name: the file's name, for the error, and for a DICOM file that does not say what it is (.dcm, .dicom).
        channels: 1 (grey) or 3 (RGB).
        frames: which of a DICOM file; None for one that has one frame alone.
        burned_in: whether to take a DICOM file that says a patient can be told from its pixels.

    Raises:
        DataError: the bytes are no whole picture, or a DICOM file that ``dicom.py`` refuses.
        MissingPackage: a DICOM file, and pydicom is not installed.
    """
    if channels not in _MODES:
        raise DataError(f"{channels} channels", "1 (grey) or 3 (RGB)", "set channels to 1 or 3")
    if is_dicom(data, name):
        return (with_channels(one, channels) for one in decode_dicom(data, name, frames, burned_in=burned_in))
    return iter([_decode_plain(data, name, channels)])


def _decode_plain(data: bytes, name: str, channels: int) -> np.ndarray:
    """A PNG or JPEG."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of an image large enough to fill the memory; nothing that large is a medical image of ours
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
                pixels = np.asarray(_eight_bits(upright).convert(_MODES[channels]))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{name}: {len(data)} bytes that are no whole image ({error})",
            "a PNG, JPEG or DICOM file",
            "replace the file or take it out of the folder",
        ) from error
    return pixels.reshape(pixels.shape[0], pixels.shape[1], channels)


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """(height, width, 1 or 3) uint8 as 1 (the luma of ITU-R 601) or 3 (grey three times) channels."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def resize(image: np.ndarray, side: int, *, cropped: bool = True, resample: Resample = Resample.BICUBIC) -> np.ndarray:
    """(height, width, channel) uint8 to (side, side, channel) uint8."""
    if side < 1:
        raise DataError(f"a side of {side} pixels", "at least 1", "set a positive size")
    if cropped:
        image = centre_crop(image)
    channels = image.shape[2]
    if image.shape[:2] == (side, side):
        return np.ascontiguousarray(image)
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    resized = np.asarray(picture.resize((side, side), _FILTERS[resample]))
    return resized.reshape(side, side, channels)


def centre_crop(image: np.ndarray) -> np.ndarray:
    """The middle square of (height, width, channel), as large as the shorter side."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits by its high byte; Pillow's own conversion would clip it to white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8))
    return image
