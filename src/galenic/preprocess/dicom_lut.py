"""Lookup tables as DICOM files spell them: descriptors, words, and the three tables of a palette.

LUT Descriptor   (entries, first value, bits); 0 entries are 65,536        PS3.3 C.11.1.1
LUT Data         words of 16 bits, or two entries of 8 bits in one word
palette          one table for red, green, blue each, of 8 or 16 bits      PS3.3 C.7.6.3.1.5, C.7.6.3.1.6
segmented        0 n v1 .. vn: these values; 1 n y: n values in a line from the last one to y      PS3.3 C.7.9.2
"""

from __future__ import annotations

from typing import Any

import numpy as np

from galenic.preprocess.dicom_file import COLOURS
from galenic.preprocess.dicom_grey import Lut
from galenic.record.errors import DataError

LUT_BITS = range(1, 17)


def read_lut(item: Any, signed: bool, little_endian: bool, what: str) -> Lut:
    """The table of a modality or VOI LUT sequence's first item.

    Args:
        item: a pydicom Dataset with LUTDescriptor and LUTData.
        signed: whether what is looked up can be below zero, so that the first value may be too.
        little_endian: the byte order of the file.
        what: the sequence's keyword and the file, for the error.
    """
    count, first, bits = read_descriptor(item.LUTDescriptor, signed, what)
    words = _words(item["LUTData"].value, little_endian)
    if len(words) < count <= 2 * len(words) and bits <= 8:
        words = words.astype("<u2" if little_endian else ">u2").view(np.uint8).astype(np.int64)
    entries = words[:count]
    if len(entries) < count or (entries >> bits).any():
        raise DataError(
            f"{what}: {len(words)} values where {count} of {bits} bits are declared",
            "as many entries as the descriptor says, of its bits",
            "export the file anew, or without this table",
        )
    return Lut(entries, first, bits)


def read_descriptor(values: Any, signed: bool, what: str) -> tuple[int, int, int]:
    """(entries, first value, bits), whichever sign the file gave to the words."""
    count, first, bits = (int(value) for value in values)
    count, first = (count & 0xFFFF) or 0x10000, first & 0xFFFF
    if bits not in LUT_BITS:
        raise DataError(f"{what}: a lookup table of {bits} bits", "1 to 16", "export the file anew")
    return count, first - 0x10000 if signed and first > 0x7FFF else first, bits


def read_palette(data: Any, signed: bool, little_endian: bool, what: str) -> tuple[Lut, Lut, Lut]:
    """The tables of red, green and blue, cut down to 8 bits."""
    red, green, blue = (_colour(data, colour, signed, little_endian, f"{what}: {colour} palette") for colour in COLOURS)
    return red, green, blue


def _colour(data: Any, colour: str, signed: bool, little_endian: bool, what: str) -> Lut:
    count, first, bits = read_descriptor(data[f"{colour}PaletteColorLookupTableDescriptor"].value, signed, what)
    plain, segmented = f"{colour}PaletteColorLookupTableData", f"Segmented{colour}PaletteColorLookupTableData"
    if plain in data:
        raw = data[plain].value
        if isinstance(raw, bytes) and len(raw) < 2 * count:
            entries = np.frombuffer(raw, dtype=np.uint8).astype(np.int64)
        else:
            entries = _words(raw, little_endian)
    else:
        raw = data[segmented].value
        words = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) if bits <= 8 else _words(raw, little_endian)
        entries = expand_segments(words.tolist(), count, what)
    entries = entries[:count]
    if len(entries) < count or bits not in (8, 16):
        raise DataError(
            f"{what}: {len(entries)} entries of {bits} bits where {count} are declared",
            "as many as its descriptor says, of 8 or 16 bits",
            "export the file as RGB",
        )
    return Lut(entries >> 8 if bits == 16 or entries.max() > 0xFF else entries, first, 8)


def expand_segments(words: list[int], count: int, what: str) -> np.ndarray:
    """A segmented table as its entries, (count,) int64 at most."""
    entries: list[int] = []
    place = 0
    while place + 2 < len(words) and len(entries) < count:
        kind, length = words[place], words[place + 1]
        room = min(length, count - len(entries))
        if kind == 0:
            entries += words[place + 2 : place + 2 + room]
            place += 2 + length
        elif kind == 1 and entries and length:
            step = (words[place + 2] - entries[-1]) / length
            entries += np.rint(entries[-1] + step * np.arange(1, room + 1)).astype(int).tolist()
            place += 3
        else:
            raise DataError(
                f"{what}: a segment of kind {kind} and length {length}",
                "a segmented palette of discrete and linear segments that begins with a discrete one",
                "export the file as RGB",
            )
    return np.array(entries, dtype=np.int64)


def _words(value: Any, little_endian: bool) -> np.ndarray:
    """(n,) int64 unsigned 16-bit words, from the bytes of OW or the numbers of US or SS."""
    if isinstance(value, bytes):
        return np.frombuffer(value[: len(value) // 2 * 2], dtype="<u2" if little_endian else ">u2").astype(np.int64)
    return np.atleast_1d(np.asarray(value, dtype=np.int64)) & 0xFFFF
