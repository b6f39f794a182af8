"""The door to a DICOM file (PS3.10): the elements of ``KEYWORDS`` come in, nothing else.

Everything else (name, birth date, identifiers, institution, private elements) is passed over by its length. What pydicom
says in an error or a warning may quote the file, so none of it is passed on: errors name attributes and give numbers. They
give no text of the file, since a text could be anything.

A file without the 128 bytes and "DICM" in front (a bare dataset) is read where its name ends in .dcm or .dicom; its byte
order is told from its first element.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import PurePath
from typing import Any, TypeVar

from galenic.record.errors import DataError, MissingPackage

SUFFIXES = (".dcm", ".dicom")
PREAMBLE, MARK = 128, b"DICM"
MOST_INFLATED_BYTES = 1 << 29

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)

COLOURS = ("Red", "Green", "Blue")
KEYWORDS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("BurnedInAnnotation", "WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleIntercept", "RescaleSlope"),
    *("ModalityLUTSequence", "VOILUTSequence"),
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in COLOURS),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "FloatPixelData", "DoubleFloatPixelData", "PixelData"),
)
"""The image pixel, VOI LUT, modality LUT and palette modules, and the functional groups that say the same of each frame."""

Made = TypeVar("Made")


def is_dicom(data: bytes, name: str) -> bool:
    """Whether the bytes say so ("DICM" after 128 bytes), or the name does."""
    return data[PREAMBLE : PREAMBLE + len(MARK)] == MARK or PurePath(name).suffix.lower() in SUFFIXES


def require_pydicom(name: str) -> None:
    """MissingPackage with the one command, where pydicom is not installed."""
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise MissingPackage(
            f"{name}: a DICOM file, but the package pydicom is not installed", "pydicom", "pip install 'galenic[dicom]'"
        ) from error


def without_quotes(make: Callable[[], Made], name: str, what: str) -> Made:
    """What ``make`` returns; any failure but our own becomes a DataError on which no exception hangs that quotes the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote the file too
        try:
            return make()
        except (DataError, MissingPackage):
            raise
        except Exception:  # said below, outside of this block, where it is not the new error's context
            pass
    raise damaged(name, what)


def damaged(name: str, what: str) -> DataError:
    """The error for a file that is not what it says it is."""
    return DataError(f"{name}: {what}", "a whole DICOM file with a picture", "export or copy the file again")


def read_elements(data: bytes, name: str) -> tuple[str, Any]:
    """(transfer syntax, a pydicom Dataset of the elements of ``KEYWORDS``).

    Raises:
        DataError: the bytes are no DICOM file, or inflate to more than ``MOST_INFLATED_BYTES``.
    """
    from pydicom.datadict import tag_for_keyword
    from pydicom.filereader import read_dataset

    syntax, body = _body(data, name)
    tags = [tag_for_keyword(keyword) for keyword in KEYWORDS]
    elements = read_dataset(BytesIO(body), syntax == IMPLICIT, syntax != BIG_ENDIAN, specific_tags=tags)
    return syntax, elements


def syntax_name(syntax: str) -> str:
    """What the standard calls a transfer syntax; a UID that it does not know is not repeated."""
    from pydicom.uid import UID, UID_dictionary

    return str(UID(syntax).name) if syntax in UID_dictionary else "an unknown transfer syntax"


def _body(data: bytes, name: str) -> tuple[str, bytes]:
    """(transfer syntax, the dataset's bytes), inflated where they are deflated."""
    from pydicom.filereader import read_dataset

    start = PREAMBLE + len(MARK) if data[PREAMBLE : PREAMBLE + len(MARK)] == MARK else 0
    if start == 0 and data[:2] != b"\x02\x00":
        return _guessed_syntax(data, name), data
    file = BytesIO(data)
    file.seek(start)
    meta = read_dataset(file, False, True, stop_when=_after_meta, specific_tags=[0x00020010])
    syntax = str(meta.get("TransferSyntaxUID", "")).strip()
    body = data[file.tell() :]
    if syntax != DEFLATED:
        return syntax or _guessed_syntax(body, name), body
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflating.decompress(body, MOST_INFLATED_BYTES)
    if inflating.unconsumed_tail:
        raise damaged(name, f"a deflated file of more than {MOST_INFLATED_BYTES >> 20} MB")
    return DEFLATED, plain


def _after_meta(tag: int, *_: Any) -> bool:
    return tag >> 16 != 0x0002


def _guessed_syntax(body: bytes, name: str) -> str:
    """By the first element: two letters where a value representation stands; a small group number is little endian."""
    if len(body) < 8:
        raise damaged(name, f"{len(body)} bytes, fewer than one element has")
    letters = body[4:6]
    if not (letters.isalpha() and letters.isupper()):
        return IMPLICIT
    return EXPLICIT if int.from_bytes(body[:2], "little") < 0x0400 else BIG_ENDIAN
