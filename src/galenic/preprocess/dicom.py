"""DICOM files to pictures: (height, width, channels) uint8, as ``image.py`` decodes PNG and JPEG. pydicom reads the file.

    MONOCHROME1, MONOCHROME2       1 channel: rescale, window, polarity (``dicom_grey.py``)
    RGB, YBR_*                     3 channels, RGB; windows and rescale do not apply to colour
    PALETTE COLOR                  3 channels: the red, green and blue entries of the stored value

Only the pixels and what they mean are read (``dicom_file.py``): no patient tag comes out of here, not in an error either.
What is burned into the pixels stays in them; a file that says so is refused unless ``burned_in`` allows it. Overlays, ICC profiles
and presentation states are not applied.

Compressed pixels are decoded one frame at a time by Pillow (JPEG baseline, 8-bit JPEG extended, JPEG 2000) or pydicom (RLE);
JPEG lossless, JPEG-LS and the like need the package that the error names.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from galenic.preprocess.dicom_file import NATIVE, damaged, syntax_name, without_quotes
from galenic.preprocess.dicom_grey import to_grey
from galenic.preprocess.dicom_picture import PixelModule, read_picture
from galenic.record.errors import DataError, MissingPackage
from galenic.record.preprocessing import FrameChoice, Frames

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
HIGH_THROUGHPUT = "1.2.840.10008.1.2.4.20"  # the JPEG 2000 of this name, .201 to .203
OUR_DECODERS = ("pillow", "pydicom")  # where both can, they go first: the same pixels whatever else is installed


def decode_dicom(
    data: bytes, name: str, frames: FrameChoice | None = None, *, burned_in: bool = False
) -> Iterator[np.ndarray]:
    """The (height, width, 1 or 3) uint8 pixels of the frames that are wanted, one after the other.

    Args:
        data: the file's bytes.
        name: the file's name, for the error.
        frames: which of them; None for a file that has one frame alone.
        burned_in: whether to take a file that says a patient can be told from its pixels.

    Raises:
        MissingPackage: pydicom, or the decoder of these compressed pixels, is not installed.
        DataError: no DICOM file, no picture, a damaged one, one of a kind that is not read, no such frame, or a patient can be
            told from it.
    """
    picture = read_picture(data, name, burned_in=burned_in)
    return (decode_frame(picture, number) for number in frame_numbers(picture, frames))


def frame_numbers(picture: PixelModule, frames: FrameChoice | None) -> Sequence[int]:
    """The numbers of the frames, from 1; DataError where there are not as many, or several and nobody says which."""
    if frames is Frames.ALL:
        return range(1, picture.frames + 1)
    if frames is None and picture.frames > 1:
        raise DataError(
            f"{picture.name}: {picture.frames} frames",
            "one picture, or the option frames",
            'save one frame as a file, or read the folder as dicom:PATH with frames = "first", "middle", "all" or a number',
        )
    places = {None: 1, Frames.FIRST: 1, Frames.MIDDLE: (picture.frames + 1) // 2}
    number = frames if isinstance(frames, int) else places[frames]
    if not 1 <= number <= picture.frames:
        raise DataError(
            f"{picture.name}: frame {number} of {picture.frames}",
            f"1 to {picture.frames}",
            "choose another frame, by number or as first or middle",
        )
    return (number,)


def decode_frame(picture: PixelModule, number: int) -> np.ndarray:
    """(height, width, 1 or 3) uint8 of frame ``number``, from 1; errors as ``decode_dicom``."""
    what = f"frame {number} of {picture.frames}, {syntax_name(picture.syntax)}, cannot be decoded"
    pixels: np.ndarray = without_quotes(lambda: _shown(picture, number), picture.name, what)
    return pixels


def _shown(picture: PixelModule, number: int) -> np.ndarray:
    stored = _stored(picture, number)
    if picture.palette is not None:
        return np.stack([table.look_up(stored) for table in picture.palette], axis=-1).astype(np.uint8)
    if not picture.greys:
        return np.ascontiguousarray(stored)
    return to_grey(stored, picture.greys[(number - 1) % len(picture.greys)])[..., None]


def _stored(picture: PixelModule, number: int) -> np.ndarray:
    """(height, width) of whole numbers as they are stored, or (height, width, 3) uint8 in RGB."""
    from pydicom.pixels import get_decoder

    try:
        decoder = get_decoder(picture.syntax)
    except NotImplementedError:  # its words are not passed on
        decoder = None
    if decoder is None:
        raise DataError(
            f"{picture.name}: compressed as {syntax_name(picture.syntax)}",
            "a picture (a video is none), in a transfer syntax of pydicom's",
            "export its frames as pictures",
        )
    plugin = "" if picture.syntax in NATIVE else _decoding_plugin(picture, decoder)
    if plugin == "pillow":
        _check_size(picture, number)
    options = {
        "rows": picture.rows,
        "columns": picture.columns,
        "number_of_frames": picture.frames,
        "samples_per_pixel": picture.samples,
        "bits_allocated": picture.bits_allocated,
        "bits_stored": picture.bits_stored,
        "pixel_representation": int(picture.signed),
        "photometric_interpretation": picture.photometric,
        "pixel_keyword": "PixelData",
        "pixel_vr": picture.representation,
        "planar_configuration": picture.planar,
        "allow_excess_frames": False,
    }
    if picture.offsets is not None:
        options["extended_offsets"] = picture.offsets
    stored, properties = decoder.as_array(picture.pixels, index=number - 1, decoding_plugin=plugin, **options)
    if picture.samples == 3 and properties["photometric_interpretation"] != "RGB":
        raise damaged(picture.name, f"colour as {picture.photometric} that cannot be made RGB")
    pixels: np.ndarray = stored
    return pixels


def _decoding_plugin(picture: PixelModule, decoder: Any) -> str:
    """The decoder that is used, ours first; MissingPackage where none that can is installed."""
    able = [plugin for plugin in decoder.available_plugins if not _beyond(plugin, picture)]
    if able:
        return next((plugin for plugin in OUR_DECODERS if plugin in able), str(able[0]))
    package = "pylibjpeg pylibjpeg-openjpeg" if picture.syntax.startswith(HIGH_THROUGHPUT) else "python-gdcm"
    raise MissingPackage(
        f"{picture.name}: compressed as {syntax_name(picture.syntax)}, and no decoder for it is installed",
        f"pixels that Pillow or pydicom decodes, or the package {package}",
        f"pip install {package}, or save the file uncompressed",
    )


def _beyond(plugin: str, picture: PixelModule) -> bool:
    """Pillow's JPEG has 8 bits alone."""
    return plugin == "pillow" and picture.syntax == JPEG_EXTENDED and picture.bits_stored != 8


def _check_size(picture: PixelModule, number: int) -> None:
    """The compressed frame is as large as the file says, before Pillow unpacks it."""
    from pydicom.encaps import get_frame

    frame = get_frame(picture.pixels, number - 1, number_of_frames=picture.frames, extended_offsets=picture.offsets)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
            size = image.size
    if size != (picture.columns, picture.rows):
        raise damaged(
            picture.name,
            f"frame {number} is {size[1]} x {size[0]} pixels where the file says {picture.rows} x {picture.columns}",
        )
