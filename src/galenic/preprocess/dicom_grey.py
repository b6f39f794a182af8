"""From the values that a DICOM file stores to 8-bit greys (PS3.3 C.11.1 and C.11.2), as pure functions of numpy.

    value = stored * slope + intercept, or a modality LUT of the stored value             C.11.1
    y     = a window, or a VOI LUT, of the value; 0 <= y <= 1                              C.11.2
              LINEAR        0 where value <= c - 0.5 - (w - 1) / 2, 1 where value > c - 0.5 + (w - 1) / 2,
                            (value - (c - 0.5)) / (w - 1) + 0.5 between
              LINEAR_EXACT  0 where value <= c - w / 2, 1 where value > c + w / 2, (value - c) / w + 0.5 between
              SIGMOID       1 / (1 + exp(-4 (value - c) / w))
    grey  = floor(255 y + 0.5); 255 - grey for MONOCHROME1, where the smallest value is white

Without a window or VOI LUT, the full range of the values becomes 0 to 255: up to 8 stored bits, the range that such a file can
hold (an ultrasound picture stays as it is); above 8 bits, from the smallest to the largest value in this frame (12 bits that
stand in 16 would otherwise come out black). Padding (PS3.3 C.7.5.1.1.2) is black and counts for no range.

At most 16 bits are stored, so all of it is one table of at most 65,536 greys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

WHITE = 255


class Curve(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True)
class Window:
    """Window Center (0028,1050) and Width (0028,1051), in the units of the value."""

    centre: float
    width: float
    curve: Curve = Curve.LINEAR

    @property
    def possible(self) -> bool:
        """What C.11.2.1 asks of the width: at least 1 where it is LINEAR, above 0 otherwise."""
        return self.width >= 1 if self.curve is Curve.LINEAR else self.width > 0


@dataclass(frozen=True)
class Lut:
    """A lookup table: ``entries[value - first]``, with the ends held on both sides.

    Attributes:
        entries: (n,) int64, 0 to 2^bits - 1.
        first: the value that the first entry is for.
        bits: of an entry.
    """

    entries: np.ndarray
    first: int
    bits: int

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """The entries of ``values``, which are rounded to whole numbers first."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        found: np.ndarray = self.entries[places.astype(np.int64)]
        return found


@dataclass(frozen=True)
class Grey:
    """All of a file that decides how its stored values become greys.

    Attributes:
        bits: Bits Stored, 1 to 16.
        signed: Pixel Representation 1.
        slope, intercept: Rescale Slope and Intercept; 1 and 0 where there are none.
        modality: the modality LUT, instead of slope and intercept.
        window: the first window.
        voi: the first VOI LUT; it goes before the window.
        white_first: MONOCHROME1.
        padding: the stored values, first and last, that are no part of the picture.
    """

    bits: int
    signed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality: Lut | None = None
    window: Window | None = None
    voi: Lut | None = None
    white_first: bool = False
    padding: tuple[int, int] | None = None

    @property
    def lowest(self) -> int:
        """The smallest value that can be stored."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    def stored(self) -> np.ndarray:
        """(2^bits,) int64, every value that can be stored."""
        return np.arange(1 << self.bits, dtype=np.int64) + self.lowest


def to_values(stored: np.ndarray, grey: Grey) -> np.ndarray:
    """Stored values to values, float64: the modality LUT, or slope and intercept."""
    if grey.modality is not None:
        return grey.modality.look_up(stored).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # who reads the file checks that all are finite
        return stored.astype(np.float64) * grey.slope + grey.intercept


def through_window(values: np.ndarray, window: Window) -> np.ndarray:
    """Values to 0 .. 1, float64."""
    centre, width = window.centre, window.width
    if window.curve is Curve.SIGMOID:
        return 0.5 * (1 + np.tanh(2 * (values - centre) / width))  # the same curve, and exp cannot overflow
    if window.curve is Curve.LINEAR:
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    return np.clip((values - centre) / width + 0.5, 0, 1)


def grey_table(grey: Grey, present: np.ndarray) -> np.ndarray:
    """(2^bits,) uint8, the grey of each value that can be stored, from ``Grey.lowest`` on.

    Args:
        grey: the file's description.
        present: (2^bits,) bool, which of them stand in this frame.
    """
    stored = grey.stored()
    padding = np.zeros(len(stored), dtype=bool)
    if grey.padding is not None:
        padding = (stored >= grey.padding[0]) & (stored <= grey.padding[1])
    values = to_values(stored, grey)
    if grey.voi is not None:
        share = grey.voi.look_up(values) / ((1 << grey.voi.bits) - 1)
    elif grey.window is not None:
        share = through_window(values, grey.window)
    else:
        share = _full_range(values, present & ~padding if grey.bits > 8 else ~padding)
    table = np.floor(WHITE * share + 0.5).astype(np.uint8)
    if grey.white_first:
        table = WHITE - table
    table[padding] = 0
    return table


def to_grey(stored: np.ndarray, grey: Grey) -> np.ndarray:
    """One frame of stored values (height, width) to uint8; IndexError where a value has more than ``grey.bits`` bits."""
    places = stored.astype(np.int32) - grey.lowest
    if places.size and (places.min() < 0 or places.max() >= 1 << grey.bits):
        raise IndexError("a value with more bits than are stored")
    present = np.zeros(1 << grey.bits, dtype=bool)
    present[places.reshape(-1)] = True
    shown: np.ndarray = grey_table(grey, present)[places]
    return shown


def _full_range(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Values to 0 .. 1 from the smallest to the largest of those that count; 0 where they are all the same."""
    if not counted.any():
        return np.zeros_like(values)
    low, high = values[counted].min(), values[counted].max()
    return np.zeros_like(values) if low == high else np.clip((values - low) / (high - low), 0, 1)
