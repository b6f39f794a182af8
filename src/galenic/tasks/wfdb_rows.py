"""The rows of one PhysioNet record: a window around each beat, or windows of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galenic.preprocess.windows import cut_windows, windows_at
from galenic.record.errors import DataError, InputError
from galenic.tasks.mitbih import AAMI_OF_SYMBOL, NOT_BEATS
from galenic.tasks.wfdb_options import BEAT_LENGTH, Missing, WfdbOptions
from galenic.tasks.wfdb_records import Header, read_annotations, read_signal

LEFT_OUT = "-"


@dataclass(frozen=True)
class Rows:
    """One record's rows: (n, time, lead) float32, (n,) class names, (n,) ids."""

    windows: np.ndarray
    classes: tuple[str, ...]
    ids: tuple[str, ...]


def beat_rows(root: Path, header: Header, leads: Sequence[int], options: WfdbOptions) -> Rows:
    """A window around each beat that has a class and lies wholly inside of the record."""
    samples, symbols = read_annotations(root, header, options.annotator)
    known = {**AAMI_OF_SYMBOL, **further_symbols(options.also)}
    unknown = next((symbol for symbol in symbols if symbol not in known and symbol not in NOT_BEATS), None)
    if unknown is not None:
        raise DataError(
            f"{root}, record {header.name}: {symbols.count(unknown)} annotations {unknown!r}",
            f"beats of the AAMI mapping ({' '.join(AAMI_OF_SYMBOL)})",
            f"say what they are: also = {unknown}=S puts them into S, also = {unknown}={LEFT_OUT} leaves them out",
        )
    length = options.length or BEAT_LENGTH
    if options.before >= length:
        raise InputError(f"before = {options.before} of {length} samples", "less than length", "lower before")
    taken = set(options.classes) or set(known.values()) - {LEFT_OUT}
    starts = samples - options.before
    inside = (starts >= 0) & (starts + length <= header.samples)
    chosen = [row for row, symbol in enumerate(symbols) if inside[row] and known.get(symbol) in taken]
    windows = windows_at(read_signal(root, header, leads), starts[chosen], length)
    return _without_gaps(
        root,
        header,
        Rows(
            windows,
            tuple(known[symbols[row]] for row in chosen),
            tuple(f"{header.name}@{samples[row]}" for row in chosen),
        ),
        options,
    )


def record_rows(
    root: Path, header: Header, leads: Sequence[int], label: str, length: int, options: WfdbOptions
) -> Rows:
    """The windows of one record, all of its class."""
    windows = cut_windows(read_signal(root, header, leads), length, options.hop or length)
    hop = options.hop or length
    ids = tuple(f"{header.name}@{row * hop}" for row in range(len(windows)))
    return _without_gaps(root, header, Rows(windows, (label,) * len(windows), ids), options)


def further_symbols(also: Sequence[str]) -> dict[str, str]:
    """``also`` as symbol -> class."""
    wrong = next((pair for pair in also if len(pair) < 3 or pair[1] != "="), None)
    if wrong is not None:
        raise InputError(f"also = {wrong!r}", "SYMBOL=CLASS, such as n=S or B=N", "correct it")
    return {pair[0]: pair[2:] for pair in also}


def _without_gaps(root: Path, header: Header, rows: Rows, options: WfdbOptions) -> Rows:
    gaps = np.isnan(rows.windows).any(axis=(1, 2))
    if not gaps.any():
        return rows
    first = int(np.flatnonzero(gaps)[0])
    if options.missing is Missing.REFUSE:
        raise DataError(
            f"{root}, record {header.name}: {int(gaps.sum())} of {len(gaps)} windows have missing samples, first {rows.ids[first]}",
            "signals without gaps",
            'set missing = "drop" to leave these windows out',
        )
    kept = np.flatnonzero(~gaps)
    return Rows(rows.windows[kept], tuple(rows.classes[row] for row in kept), tuple(rows.ids[row] for row in kept))
