"""The pixel module of a DICOM file (PS3.3 C.7.6.3), checked before an array is made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from galenic.preprocess.dicom_file import BIG_ENDIAN, NATIVE, damaged, read_elements, require_pydicom, without_quotes
from galenic.preprocess.dicom_grey import Curve, Grey, Lut, Window
from galenic.preprocess.dicom_lut import read_lut, read_palette
from galenic.record.errors import DataError

MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 1 << 26  # of one frame: the limit that Pillow has for PNG and JPEG files
LARGEST_RESCALE = 1e30  # beyond it, differences of values are no longer finite
GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class PixelModule:
    """The pixel module of one file.

    Attributes:
        name: what the file is called, for errors.
        rows, columns, samples: of a frame; samples is 1 or 3.
        bits_allocated, bits_stored, signed: of a sample.
        photometric: Photometric Interpretation, one of those above.
        planar: Planar Configuration.
        frames: how many there are.
        syntax: the transfer syntax's UID.
        representation: of the pixel data, "OB" or "OW".
        pixels: the pixel data as they stand in the file.
        offsets: the extended offset table and its lengths, where there is one.
        greys: how stored values become greys, one for all frames or one for each; empty for colour.
        palette: red, green and blue of PALETTE COLOR.
        burned_in: whether the file says that a patient can be told from the pixels (Burned In Annotation).
    """

    name: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    planar: int
    frames: int
    syntax: str
    representation: str
    pixels: bytes = field(repr=False)
    offsets: tuple[bytes, bytes] | None = field(repr=False)
    burned_in: bool
    greys: tuple[Grey, ...] = ()
    palette: tuple[Lut, Lut, Lut] | None = None


def read_picture(data: bytes, name: str, *, burned_in: bool = False) -> PixelModule:
    """The checked pixel module of a file.

    Args:
        data: the file's bytes.
        name: the file's name, for the error.
        burned_in: whether to take a file that says a patient can be told from its pixels.

    Raises:
        MissingPackage: pydicom is not installed.
        DataError: it is no DICOM file, it has no picture, or a picture that is damaged or of a kind that is not read; or a
            patient can be told from it.
    """
    require_pydicom(name)
    what = f"{len(data)} bytes that cannot be read as DICOM"
    picture: PixelModule = without_quotes(lambda: _read(data, name), name, what)
    if picture.burned_in and not burned_in:
        raise DataError(
            f"{name}: Burned In Annotation is YES: a patient can be told from the pixels",
            "pixels without names or numbers of a patient",
            "cover them, or set burned_in = true (--burned-in) to take such files as they are",
        )
    return picture


def _read(data: bytes, name: str) -> PixelModule:
    syntax, elements = read_elements(data, name)
    _check_present(elements, name)
    allocated = _whole(elements, "BitsAllocated", name)
    stored = _whole(elements, "BitsStored", name, default=allocated)
    picture = PixelModule(
        name=name,
        rows=_whole(elements, "Rows", name),
        columns=_whole(elements, "Columns", name),
        samples=_whole(elements, "SamplesPerPixel", name, default=1),
        bits_allocated=allocated,
        bits_stored=stored,
        signed=_whole(elements, "PixelRepresentation", name, default=0) == 1,
        photometric=str(elements.get("PhotometricInterpretation", "")).strip(),
        planar=_whole(elements, "PlanarConfiguration", name, default=0) if syntax in NATIVE else 0,
        frames=_whole(elements, "NumberOfFrames", name, default=1),
        syntax=syntax,
        representation=str(elements["PixelData"].VR),
        pixels=elements["PixelData"].value or b"",
        offsets=_offsets(elements),
        burned_in=str(elements.get("BurnedInAnnotation", "")).strip().upper() == "YES",
    )
    _check(picture)
    high_bit = _whole(elements, "HighBit", name, default=stored - 1)
    if high_bit != stored - 1:
        raise damaged(name, f"High Bit {high_bit} of {stored} stored bits")
    return _with_tables(picture, elements)


def _check_present(elements: Any, name: str) -> None:
    if "FloatPixelData" in elements or "DoubleFloatPixelData" in elements:
        raise DataError(f"{name}: pixels that are floats", "8 or 16 bits", "save them as 16 bits with a rescale slope")
    needed = ("Rows", "Columns", "BitsAllocated", "PixelData")
    missing = [keyword for keyword in needed if keyword not in elements]
    if len(missing) == len(needed):
        raise damaged(name, "no picture in it, or no DICOM file")
    if missing:
        raise damaged(name, f"no {', '.join(missing)}")


def _check(picture: PixelModule) -> None:
    """Everything that sizes the arrays."""
    name, size = picture.name, f"{picture.rows} x {picture.columns}"
    if picture.photometric not in (*GREY, PALETTE, *COLOUR):
        known = ", ".join((*GREY, PALETTE, *COLOUR))
        raise DataError(f"{name}: another Photometric Interpretation", f"one of {known}", "export the file as RGB")
    if picture.samples != (3 if picture.photometric in COLOUR else 1):
        raise damaged(name, f"{picture.samples} samples per pixel of {picture.photometric}")
    if picture.rows < 1 or picture.columns < 1 or picture.frames < 1:
        raise damaged(name, f"{picture.frames} frames of {size} pixels")
    if picture.rows * picture.columns > MOST_PIXELS:
        raise DataError(
            f"{name}: frames of {size} pixels",
            f"at most {MOST_PIXELS:,} pixels a frame",
            "cut or shrink the picture first (a whole slide is read in tiles)",
        )
    widths = (8,) if picture.samples == 3 else (8, 16)
    if picture.bits_allocated not in widths or not 1 <= picture.bits_stored <= picture.bits_allocated:
        raise DataError(
            f"{name}: {picture.bits_stored} bits stored in {picture.bits_allocated}, {picture.samples} samples per pixel",
            "8 or 16 bits allocated for grey, 8 for colour, and as many or fewer stored",
            "export the file with 8 or 16 bits",
        )
    if picture.planar not in (0, 1):
        raise damaged(name, f"Planar Configuration {picture.planar}")
    if picture.syntax in NATIVE:
        _check_length(picture)


def _check_length(picture: PixelModule) -> None:
    bits = 16 if picture.photometric == "YBR_FULL_422" else picture.samples * picture.bits_allocated
    needed = picture.frames * picture.rows * picture.columns * bits // 8
    if len(picture.pixels) < needed:
        raise damaged(
            picture.name,
            f"{len(picture.pixels)} bytes of pixel data where {picture.frames} frames of {picture.rows} x "
            f"{picture.columns} pixels need {needed}",
        )


def _with_tables(picture: PixelModule, elements: Any) -> PixelModule:
    """The picture with its greys or its palette; a supplemental palette, colour over grey, is refused."""
    if picture.photometric == PALETTE:
        palette = read_palette(elements, picture.signed, picture.syntax != BIG_ENDIAN, picture.name)
        return replace(picture, palette=palette)
    if picture.photometric not in GREY:
        return picture
    if "RedPaletteColorLookupTableDescriptor" in elements:
        raise DataError(
            f"{picture.name}: grey with a supplemental palette (colours laid over it, as of Doppler)",
            "grey, RGB, YBR or PALETTE COLOR",
            "export the file as RGB",
        )
    return replace(picture, greys=_greys(picture, elements))


def _greys(picture: PixelModule, elements: Any) -> tuple[Grey, ...]:
    """One for all frames; one for each where functional groups (PS3.3 C.7.6.16) give each frame its own."""
    shared = _first_item(elements, "SharedFunctionalGroupsSequence")
    each: Sequence[Any] = elements.get("PerFrameFunctionalGroupsSequence") or ()
    if not each:
        return (_grey(picture, elements, (shared,)),)
    if len(each) != picture.frames:
        raise damaged(picture.name, f"{len(each)} functional groups for {picture.frames} frames")
    return tuple(_grey(picture, elements, (own, shared)) for own in each)


def _grey(picture: PixelModule, elements: Any, groups: Sequence[Any]) -> Grey:
    name, little_endian = picture.name, picture.syntax != BIG_ENDIAN
    rescaled = _nearest(elements, groups, "PixelValueTransformationSequence", "RescaleSlope")
    slope = _real(rescaled, "RescaleSlope", name, default=1.0)
    intercept = _real(rescaled, "RescaleIntercept", name, default=0.0)
    if slope == 0 or abs(slope) + abs(intercept) > LARGEST_RESCALE:
        raise damaged(name, "Rescale Slope and Intercept that leave no picture")
    modality = _first_item(elements, "ModalityLUTSequence")
    table = read_lut(modality, picture.signed, little_endian, f"{name}: ModalityLUTSequence") if modality else None
    below_zero = table is None and (picture.signed or intercept < 0 or slope < 0)
    shown = _first_item(elements, "VOILUTSequence")
    return Grey(
        bits=picture.bits_stored,
        signed=picture.signed,
        slope=slope,
        intercept=intercept,
        modality=table,
        window=_window(_nearest(elements, groups, "FrameVOILUTSequence", "WindowCenter"), name),
        voi=read_lut(shown, below_zero, little_endian, f"{name}: VOILUTSequence") if shown else None,
        white_first=picture.photometric == "MONOCHROME1",
        padding=_padding(picture, elements),
    )


def _window(elements: Any, name: str) -> Window | None:
    """The first window of a list of them."""
    if elements.get("WindowCenter") in (None, "") or elements.get("WindowWidth") in (None, ""):
        return None
    curve = str(elements.get("VOILUTFunction") or Curve.LINEAR.value).strip().upper()
    if curve not in tuple(Curve):
        raise DataError(f"{name}: another VOI LUT Function", f"one of {', '.join(Curve)}", "export the file anew")
    window = Window(_real(elements, "WindowCenter", name), _real(elements, "WindowWidth", name), Curve(curve))
    if not window.possible:
        raise DataError(
            f"{name}: a {window.curve} window of width {window.width:g}",
            "a width of at least 1 where it is LINEAR, above 0 otherwise (PS3.3 C.11.2.1)",
            "correct the window, or take it out of the file",
        )
    return window


def _padding(picture: PixelModule, elements: Any) -> tuple[int, int] | None:
    """Pixel Padding Value and its Range Limit, in the sign of the pixels."""
    if elements.get("PixelPaddingValue") in (None, ""):
        return None
    values = [_whole(elements, "PixelPaddingValue", picture.name)]
    values.append(_whole(elements, "PixelPaddingRangeLimit", picture.name, default=values[0]))
    span = 1 << picture.bits_allocated
    values = [value % span - (span if picture.signed and value % span >= span // 2 else 0) for value in values]
    return min(values), max(values)


def _nearest(elements: Any, groups: Sequence[Any], sequence: str, keyword: str) -> Any:
    """The frame's functional group, the shared one, or the file's own elements: the first that has the keyword."""
    inside = (_first_item(group, sequence) for group in groups if group is not None)
    return next((item for item in inside if item is not None and keyword in item), elements)


def _first_item(elements: Any, keyword: str) -> Any:
    items = elements.get(keyword) if elements is not None else None
    return items[0] if items else None


def _offsets(elements: Any) -> tuple[bytes, bytes] | None:
    table, lengths = elements.get("ExtendedOffsetTable"), elements.get("ExtendedOffsetTableLengths")
    return (table, lengths) if table and lengths else None


def _whole(elements: Any, keyword: str, name: str, default: int | None = None) -> int:
    value = elements.get(keyword)
    if value in (None, "") and default is not None:
        return default
    try:
        return int(value)
    except (TypeError, ValueError):  # what it quotes is not passed on
        pass
    raise damaged(name, f"{keyword} is no whole number")


def _real(elements: Any, keyword: str, name: str, default: float | None = None) -> float:
    """The number, or the first of several."""
    value = elements.get(keyword)
    if value in (None, "") and default is not None:
        return default
    try:
        number = float(value if isinstance(value, int | float | str) else value[0])
    except (TypeError, ValueError, IndexError):  # what it quotes is not passed on
        number = math.nan
    if math.isfinite(number):
        return number
    raise damaged(name, f"{keyword} is no number")
