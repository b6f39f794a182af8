"""``wfdb:PATH``: a folder of PhysioNet records (WFDB), as beats or as whole records. The package wfdb reads them.

    rows = "beats"      a window around each annotated beat, of ``length`` samples of which ``before`` stand before it;
                        its class is the AAMI class of its symbol (``mitbih.py``): N, S, V, F, Q
    rows = "records"    windows of ``length`` samples every ``hop``, of the class that a CSV (record, label) gives the record

Sides are of whole patients, never of beats: by the CSV's column split; where the records are those of the MIT-BIH Arrhythmia
Database, by de Chazal's inter-patient split (DS2 is the test; validation is some records of DS1; records of paced hearts are
left out); otherwise by a seed. Calibration rows are a sample of the training records' rows, as everywhere.

In that split, 201 (DS1) and 202 (DS2) are of the same man. It is kept as the literature has it, so that numbers can be
compared; keep_201 = false leaves 201 out, and then no one stands on two sides.

A window that would stand over an end of its record is left out; nothing is padded, resampled or filtered. Rows are float32 in
the record's units (mV).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.csv_sides import says_order
from galenic.tasks.labels import default_positive, positive_indices
from galenic.tasks.mitbih import AAMI, ECTOPIC
from galenic.tasks.source import RawTask, Source
from galenic.tasks.text import JUDGED
from galenic.tasks.wfdb_options import RowKind, WfdbOptions
from galenic.tasks.wfdb_records import Header, check_frequency, choose_leads, read_header, require_wfdb
from galenic.tasks.wfdb_rows import Rows, beat_rows, further_symbols, record_rows
from galenic.tasks.wfdb_sides import Records, choose_records, draw_sides


def load_wfdb(argument: str, options: WfdbOptions) -> RawTask:
    """Read all records and cut their windows; DataError names the record of whatever cannot be used."""
    root = Path(argument).expanduser()
    require_wfdb()
    records = choose_records(root, options)
    headers = [read_header(root, name) for name in records.names]
    hz = check_frequency(root, headers)
    leads = choose_leads(root, headers, options.leads)
    if options.rows is RowKind.BEATS:
        rows = [beat_rows(root, header, leads[header.name], options) for header in headers]
    else:
        length = _length_of_all(root, headers, options)
        labels = [records.classes[label] for label in records.labels] if records.labels is not None else []
        rows = [
            record_rows(root, header, leads[header.name], label, length, options)
            for header, label in zip(headers, labels, strict=True)
        ]
    classes = _classes(root, rows, records, options)
    sides = draw_sides(root, records, [part.classes for part in rows], classes, options)
    of_lead = [headers[0].leads[place] or str(place) for place in leads[headers[0].name]]
    return RawTask(
        name=f"{root.resolve().name}: {options.rows.value}, {', '.join(of_lead)} at {hz:g} Hz{records.protocol}",
        where=str(root),
        kind=TaskKind.SINGLE_LABEL,
        classes=classes,
        positive=positive_indices(options.positive, classes, _default_positive(classes, options)),
        splits={name: _split(root, name, records, rows, classes, sides, options) for name in JUDGED},
        modality=Modality.SIGNAL,
        scale=1.0,
        cluster_name=records.patient_name,
    )


def _length_of_all(root: Path, headers: Sequence[Header], options: WfdbOptions) -> int:
    """The window's length; without one, that of the records, if it is the same for all."""
    shortest, longest = min(headers, key=lambda h: h.samples), max(headers, key=lambda h: h.samples)
    length = options.length or shortest.samples
    if (options.length is None and shortest.samples < longest.samples) or length > shortest.samples:
        raise DataError(
            f"{root}: records of {shortest.samples} ({shortest.name}) to {longest.samples} samples ({longest.name})",
            f"windows that fit the shortest: length of at most {shortest.samples}",
            f"set length = {shortest.samples} or less",
        )
    return length


def _classes(root: Path, rows: Sequence[Rows], records: Records, options: WfdbOptions) -> tuple[str, ...]:
    if records.classes:
        return records.classes
    possible = tuple(dict.fromkeys((*AAMI, *further_symbols(options.also).values())))
    there = {name for part in rows for name in part.classes}
    absent = [name for name in options.classes if name not in there]
    if absent:
        raise DataError(
            f"{root}: no beat of class {', '.join(absent)}",
            f"some of {', '.join(possible)}, of which the records have beats",
            "correct the option classes",
        )
    return options.classes or tuple(name for name in possible if name in there)


def _default_positive(classes: tuple[str, ...], options: WfdbOptions) -> tuple[int, ...]:
    if options.rows is RowKind.BEATS:
        return tuple(row for row, name in enumerate(classes) if name in ECTOPIC)
    return default_positive(TaskKind.SINGLE_LABEL, classes) if says_order(options.classes, classes) else ()


def _split(
    root: Path,
    name: SplitName,
    records: Records,
    rows: Sequence[Rows],
    classes: tuple[str, ...],
    sides: Sequence[SplitName],
    options: WfdbOptions,
) -> Split:
    """The rows of the records of one side."""
    chosen = [row for row, side in enumerate(sides) if side is name and rows[row].classes]
    if not chosen:
        raise DataError(f"{root}, split {name.value}: 0 rows", "records with windows on each side", "divide them anew")
    sizes = [len(rows[row].classes) for row in chosen]
    index = {label: number for number, label in enumerate(classes)}
    groups = {key: np.repeat(values[chosen], sizes) for key, values in records.groups.items()}
    if options.rows is RowKind.BEATS:
        groups["record"] = np.repeat(np.array([records.names[row] for row in chosen]), sizes)
    return Split(
        inputs=np.concatenate([rows[row].windows for row in chosen]),
        labels=np.array([index[label] for row in chosen for label in rows[row].classes], dtype=np.int64),
        ids=np.array([case for row in chosen for case in rows[row].ids]),
        groups=groups,
        clusters=np.repeat(np.array([records.patients[row] for row in chosen]), sizes),
    )


WFDB = Source(
    "wfdb", "PATH", "PhysioNet records, as beats (AAMI classes) or whole, split by patient", WfdbOptions, load_wfdb
)
