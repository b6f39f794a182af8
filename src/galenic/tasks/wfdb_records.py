"""PhysioNet records (WFDB: a header .hea, signals .dat, annotations such as .atr), read through the package wfdb.

A header is small and says how large the signals are, so it is checked against the files before a signal is read. Signals are
in physical units (millivolts for an ECG), nothing is resampled, and the comments of a header (age, sex, diagnoses) are not kept.

    https://physionet.org/physiotools/wag/header-5.htm, signal-5.htm, annot-5.htm
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from galenic.record.errors import DataError, InputError, MissingPackage

RECORDS = "RECORDS"
MOST_SAMPLES = 1 << 29  # of all signals of one record: 24 h of 12 leads at 500 Hz
BYTES_OF_FORMAT: Mapping[str, float] = {
    **{"8": 1, "80": 1, "16": 2, "61": 2, "160": 2, "24": 3, "32": 4, "212": 1.5, "310": 4 / 3, "311": 4 / 3},
    **{"508": 0, "516": 0, "524": 0},  # FLAC: no more can be said before it is unpacked
}
END_OF_ANNOTATIONS = b"\0\0"
_NAME = re.compile(r"[\w-]+(/[\w-]+)*")

Made = TypeVar("Made")


@dataclass(frozen=True)
class Header:
    """What a record's header says.

    Attributes:
        name: the record's path inside the folder, without a suffix.
        base: the same, as the path that wfdb opens.
        hz: samples a second.
        samples: of each signal.
        leads, units: of each signal; "" where a signal has no name.
    """

    name: str
    base: Path
    hz: float
    samples: int
    leads: tuple[str, ...]
    units: tuple[str, ...]


def require_wfdb() -> Any:
    """The package, or MissingPackage with the one command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what pandas is about to drop
        try:
            import wfdb
        except ImportError as error:
            raise MissingPackage(
                "PhysioNet records, but the package wfdb is not installed", "wfdb", "pip install 'galenic[wfdb]'"
            ) from error
    return wfdb


def record_names(root: Path) -> list[str]:
    """The records of a folder: those of its file RECORDS, or every .hea in it, of any depth."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", "a folder of PhysioNet records", "correct the path")
    listed = root / RECORDS
    if listed.is_file():
        lines = (line.strip() for line in listed.read_text(encoding="utf-8", errors="replace").splitlines())
        names = [line for line in lines if line]
    else:
        names = sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.hea"))
    if not names:
        raise DataError(f"{root}: no records", "files .hea with their signals", "correct the path")
    return names


def read_header(root: Path, name: str) -> Header:
    """The checked header of one record.

    Raises:
        DataError: it is missing, damaged, of several segments, or does not fit its signal files.
    """
    wfdb = require_wfdb()
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{root}: a record called {name!r}", "letters, digits, - and _, in folders by /", "correct the name"
        )
    base = root.resolve() / name
    if not base.with_name(base.name + ".hea").is_file():
        raise DataError(
            f"{root}: no header {name}.hea", "the files of every record", f"copy them, or take {name} out of the list"
        )
    read = guarded(lambda: wfdb.rdheader(str(base)), root, name, "header")
    if getattr(read, "n_seg", None):
        raise DataError(
            f"{root}, record {name}: {read.n_seg} segments", "records of one segment", "name the segments as records"
        )
    if not read.n_sig or not read.sig_len or read.n_sig != len(read.file_name or ()):
        raise DataError(
            f"{root}, record {name}: {read.n_sig} signals of {read.sig_len} samples, {len(read.file_name or ())} signal lines",
            "a header that says how many signals and samples there are",
            "copy it again, or complete it",
        )
    if not read.fs or read.fs <= 0:
        raise DataError(f"{root}, record {name}: {read.fs} samples a second", "above 0", "correct the header")
    _check_files(root, name, base, read)
    return Header(
        name=name,
        base=base,
        hz=float(read.fs),
        samples=int(read.sig_len),
        leads=tuple(str(lead or "").strip() for lead in read.sig_name),
        units=tuple(str(unit) for unit in read.units),
    )


def _check_files(root: Path, name: str, base: Path, read: Any) -> None:
    where = f"{root}, record {name}"
    if read.sig_len * read.n_sig > MOST_SAMPLES:
        raise DataError(
            f"{where}: {read.n_sig} signals of {read.sig_len} samples",
            f"at most {MOST_SAMPLES:,} samples in all",
            "cut the record into shorter ones",
        )
    if any(frames not in (None, 1) for frames in read.samps_per_frame):
        raise DataError(
            f"{where}: signals of several sampling frequencies ({read.samps_per_frame} samples a frame)",
            "one sampling frequency: nothing is resampled here",
            "write the record anew at one frequency",
        )
    needed: Counter[str] = Counter()
    for file, kind in zip(read.file_name, read.fmt, strict=True):
        if kind not in BYTES_OF_FORMAT:
            raise DataError(
                f"{where}: signals in format {kind}", f"one of {', '.join(BYTES_OF_FORMAT)}", "write the record anew"
            )
        needed[file] += int(read.sig_len * BYTES_OF_FORMAT[kind])
    for file, size in needed.items():
        path = base.with_name(file)
        has = path.stat().st_size if path.is_file() and "/" not in file else -1
        if has < size:
            raise DataError(
                f"{where}: {file} {'is not there' if has < 0 else f'has {has} bytes'}",
                f"at least {size} bytes, for {read.sig_len} samples",
                "copy the record again",
            )


def choose_leads(root: Path, headers: Sequence[Header], wanted: Sequence[str]) -> dict[str, list[int]]:
    """Record -> the places of its leads; where none are named, all of them, if every record has the same ones.

    Raises:
        InputError: a lead is not in a record, or stands there twice; or records have other leads and none are named.
        DataError: the units of a lead differ between records.
    """
    if not wanted:
        first = headers[0]
        other = next((header for header in headers if header.leads != first.leads), None)
        if other is not None:
            common = [lead for lead in first.leads if all(header.leads.count(lead) == 1 for header in headers)]
            raise InputError(
                f"{root}: record {first.name} has the leads {', '.join(first.leads)}, {other.name} has {', '.join(other.leads)}",
                f"leads that every record has ({', '.join(common) or 'there are none'})",
                f"name them in order, such as leads = {common[0] if common else '0 (the first signal of each)'}",
            )
    places = {header.name: [_place(root, header, lead) for lead in wanted or _every(header)] for header in headers}
    units = {header.name: [header.units[place] for place in places[header.name]] for header in headers}
    first_name = headers[0].name
    other_name = next((name for name, found in units.items() if found != units[first_name]), None)
    if other_name is not None:
        raise DataError(
            f"{root}: record {first_name} is in {', '.join(units[first_name])}, {other_name} in {', '.join(units[other_name])}",
            "the same units in every record",
            "write the records anew in one unit, or leave some out",
        )
    return places


def _every(header: Header) -> list[str]:
    return [str(place) for place in range(len(header.leads))]


def _place(root: Path, header: Header, lead: str) -> int:
    if header.leads.count(lead) == 1:
        return header.leads.index(lead)
    if lead.isascii() and lead.isdigit() and lead not in header.leads and int(lead) < len(header.leads):
        return int(lead)
    raise InputError(
        f"{root}, record {header.name}: the lead {lead!r} stands there {header.leads.count(lead)} times",
        f"one of {', '.join(header.leads)}, or a place from 0 to {len(header.leads) - 1}",
        "name another lead, or leave the record out",
    )


def check_frequency(root: Path, headers: Sequence[Header]) -> float:
    """The sampling frequency of all records; DataError names those that have another than most."""
    counted = Counter(header.hz for header in headers)
    usual = counted.most_common(1)[0][0]
    others = [f"{header.name} ({header.hz:g} Hz)" for header in headers if header.hz != usual]
    if others:
        raise DataError(
            f"{root}: {len(others)} of {len(headers)} records are not sampled at {usual:g} Hz: {', '.join(others[:5])}",
            "one sampling frequency: nothing is resampled here",
            "resample them first (wfdb.processing.resample_sig), or leave them out of RECORDS or of the CSV",
        )
    return usual


def read_signal(root: Path, header: Header, channels: Sequence[int]) -> np.ndarray:
    """(time, lead) float32 in physical units; NaN where the recorder marked a sample as missing."""
    wfdb = require_wfdb()
    read = guarded(lambda: wfdb.rdrecord(str(header.base), channels=list(channels)), root, header.name, "signals")
    signal: np.ndarray = read.p_signal
    if signal.shape != (header.samples, len(channels)):
        raise DataError(
            f"{root}, record {header.name}: {signal.shape[0]} samples of {signal.shape[1]} leads",
            f"{header.samples} of {len(channels)}, as its header says",
            "copy the record again",
        )
    return signal.astype(np.float32)


def read_annotations(root: Path, header: Header, annotator: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n,) int64 samples from 0 and their symbols.

    Raises:
        DataError: there is no such file, it is damaged, or its samples are not those of the record.
    """
    wfdb = require_wfdb()
    where = f"{root}, record {header.name}"
    path = header.base.with_name(f"{header.base.name}.{annotator}")
    if not path.is_file():
        raise DataError(
            f"{where}: no annotations {path.name}",
            "a file of annotations for each record",
            "copy it, or name another annotator (the suffix of the files)",
        )
    if path.read_bytes()[-2:] != END_OF_ANNOTATIONS:
        raise DataError(
            f"{where}: {path.name} ends early", "annotations that end with two bytes of zero", "copy the file again"
        )
    read = guarded(lambda: wfdb.rdann(str(header.base), annotator), root, header.name, f"annotations .{annotator}")
    if read.fs and float(read.fs) != header.hz:
        raise DataError(
            f"{where}: annotations at {float(read.fs):g} Hz, signals at {header.hz:g} Hz",
            "annotations that count the samples of their record",
            "write the annotations anew",
        )
    samples = np.asarray(read.sample, dtype=np.int64)
    outside = np.flatnonzero((samples < 0) | (samples >= header.samples))
    if len(outside):
        raise DataError(
            f"{where}: an annotation at sample {samples[outside[0]]} ({len(outside)} such)",
            f"0 to {header.samples - 1}",
            "copy the record and its annotations again",
        )
    if not all(isinstance(symbol, str) for symbol in read.symbol):
        raise DataError(
            f"{where}: annotations .{annotator} that cannot be read (a code without a symbol)",
            "whole WFDB files",
            "copy the record again",
        )
    return samples, tuple(read.symbol)


def guarded(read: Callable[[], Made], root: Path, name: str, what: str) -> Made:
    """What ``read`` returns; whatever wfdb raises over a damaged file becomes a DataError that names the record."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read()
        except Exception as error:
            raise DataError(
                f"{root}, record {name}: {what} that cannot be read ({type(error).__name__}: {str(error)[:200]})",
                "whole WFDB files",
                "copy the record again",
            ) from error
