"""Cut a signal into windows.

    window k = signal[k * hop : k * hop + length],   k = 0 .. floor((time - length) / hop)

A rest shorter than ``length`` is left out; nothing is padded.
"""

from __future__ import annotations

import numpy as np

from galenic.record.errors import DataError


def window_starts(samples: int, length: int, hop: int) -> np.ndarray:
    """The first sample of each window, (n,) int64; empty where the signal is shorter than one window."""
    if length < 1 or hop < 1:
        raise DataError(f"windows of {length} samples every {hop}", "at least 1 and 1", "set length and hop above zero")
    return np.arange(0, max(0, samples - length + 1), hop, dtype=np.int64)


def cut_windows(signal: np.ndarray, length: int, hop: int) -> np.ndarray:
    """(time, channel) to (n, length, channel), a copy of the signal's own type."""
    if signal.ndim != 2:
        raise DataError(f"a signal of shape {signal.shape}", "(time, channel)", "give one channel as (time, 1)")
    starts = window_starts(len(signal), length, hop)
    if len(starts) == 0:
        raise DataError(
            f"a signal of {len(signal)} samples", f"at least one window of {length}", "use a shorter window or skip it"
        )
    return windows_at(signal, starts, length)


def windows_at(signal: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """(time, channel) to (n, length, channel), one window from each start (n,); all of them have to lie inside."""
    if len(starts) and (starts.min() < 0 or starts.max() + length > len(signal)):
        raise DataError(
            f"a window of {length} samples from {starts.min()} or {starts.max()} in a signal of {len(signal)}",
            "windows inside of the signal",
            "leave out the windows that stand over its ends",
        )
    return signal[starts[:, None] + np.arange(length)]
