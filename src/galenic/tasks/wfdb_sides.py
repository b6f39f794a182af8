"""Which PhysioNet records are read, whose they are, and on which side they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from galenic.record.errors import DataError
from galenic.record.task import SplitName
from galenic.tasks.csv_rows import CsvRows, read_csv
from galenic.tasks.csv_sides import read_classes, read_groups, read_sides
from galenic.tasks.group_draw import draw_groups
from galenic.tasks.mitbih import DS1, DS2, PACED, SAME_MAN
from galenic.tasks.wfdb_options import RowKind, WfdbOptions
from galenic.tasks.wfdb_records import record_names

LABELS = "labels.csv"
PATIENT_COLUMNS = ("patient", "subject")


@dataclass(frozen=True)
class Records:
    """Which records are read, and what is known of each; all sequences have one entry per record.

    Attributes:
        names: their paths inside the folder.
        sides: their side, None where it is yet to be drawn.
        patients: whose they are.
        groups: column -> value.
        classes, labels: of rows = "records".
        protocol: what the sides are called, for the task's name.
        patient_name: what a patient is called, for errors.
    """

    names: tuple[str, ...]
    sides: tuple[SplitName | None, ...]
    patients: tuple[str, ...]
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    protocol: str = ""
    patient_name: str = "record"

    def take(self, kept: Sequence[int]) -> Records:
        """Some of the records, in this order."""
        return replace(
            self,
            names=tuple(self.names[row] for row in kept),
            sides=tuple(self.sides[row] for row in kept),
            patients=tuple(self.patients[row] for row in kept),
            groups={name: values[list(kept)] for name, values in self.groups.items()},
            labels=None if self.labels is None else self.labels[list(kept)],
        )


def choose_records(root: Path, options: WfdbOptions) -> Records:
    """The records of the CSV, or of the folder; MIT-BIH's by its split."""
    path = options.labels.expanduser() if options.labels else root / LABELS
    if options.labels is None and not path.is_file():
        if options.rows is RowKind.RECORDS:
            raise DataError(
                f"{root}: no {LABELS}", "a CSV with the columns record and label", "write one, or name it as labels"
            )
        names = record_names(root)
        records = Records(tuple(names), (None,) * len(names), tuple(names))
    else:
        records = _from_table(read_csv(path), options)
    mitbih = options.rows is RowKind.BEATS and None in records.sides and is_mitbih(records.names)
    if mitbih:
        return mitbih_sides(records, options)
    if None in records.sides and records.patient_name == "record" and not options.one_record_per_patient:
        raise DataError(
            f"{root}: nothing says which records are of one patient",
            "a CSV with a column split or patient: records of one patient could stand on two sides",
            "add labels.csv with record and patient, or set one_record_per_patient = true if that is so",
        )
    return records


def _from_table(table: CsvRows, options: WfdbOptions) -> Records:
    table.require([options.record_column])
    names = tuple(table.filled(options.record_column))
    twice = next((row for row, name in enumerate(names) if name in names[:row]), None)
    if twice is not None:
        raise DataError(
            f"{table.place(twice)}: record {names[twice]!r} stands there twice", "one line for each", "take one out"
        )
    classes: tuple[str, ...] = ()
    labels = None
    if options.rows is RowKind.RECORDS:
        table.require([options.label_column])
        classes, labels = read_classes(table, options.label_column, options.classes)
    if options.cluster_column is not None:
        table.require([options.cluster_column])
    usual = next((name for name in PATIENT_COLUMNS if name in table.header), None)
    patient = options.cluster_column or usual
    return Records(
        names=names,
        sides=read_sides(table, options.split_column) or (None,) * len(names),
        patients=tuple(table.filled(patient)) if patient else names,
        groups=read_groups(table, options.group_columns, options.band),
        classes=classes,
        labels=labels,
        patient_name=patient or "record",
    )


def is_mitbih(names: Sequence[str]) -> bool:
    """Whether these are records of the MIT-BIH Arrhythmia Database, by name, of both of its sides."""
    numbers = {PurePosixPath(name).name for name in names}
    return numbers <= {*DS1, *DS2, *PACED} and not numbers.isdisjoint(DS1) and not numbers.isdisjoint(DS2)


def mitbih_sides(records: Records, options: WfdbOptions) -> Records:
    """DS2 as the test, DS1 yet to be divided; without the records of paced hearts."""
    numbers = [PurePosixPath(name).name for name in records.names]
    dropped = PACED if options.keep_201 else (*PACED, SAME_MAN[0])
    kept = records.take([row for row, number in enumerate(numbers) if number not in dropped])
    numbers = [PurePosixPath(name).name for name in kept.names]
    first, second = (sum(number in part for number in numbers) for part in (DS1, DS2))
    return replace(
        kept,
        sides=tuple(SplitName.TEST if number in DS2 else None for number in numbers),
        protocol=f", de Chazal's split ({first} of {len(DS1)} records of DS1, {second} of {len(DS2)} of DS2)",
    )


def draw_sides(
    root: Path, records: Records, classes_of: Sequence[Sequence[str]], classes: Sequence[str], options: WfdbOptions
) -> list[SplitName]:
    """The side of each record: as it is given, or drawn by whole patients so that classes keep their shares.

    Args:
        root: the folder, for the error.
        records: with their sides, None where one is to be drawn.
        classes_of: the classes of each record's rows.
        classes: all of them.
        options: the shares and the seed.
    """
    sides = list(records.sides)
    undrawn = [row for row, side in enumerate(sides) if side is None]
    if not undrawn:
        return [side for side in sides if side is not None]
    patients = sorted({records.patients[row] for row in undrawn})
    counts = np.zeros((len(patients), len(classes)), dtype=np.int64)
    for row in undrawn:
        counts[patients.index(records.patients[row])] += [classes_of[row].count(name) for name in classes]
    by_patient = dict.fromkeys(patients, SplitName.TRAIN)
    left = np.arange(len(patients))
    wanted = [(SplitName.VALIDATION, options.validation)]
    if SplitName.TEST not in sides:
        wanted.insert(0, (SplitName.TEST, options.test))
    if len(patients) <= len(wanted):
        raise DataError(
            f"{root}: {len(patients)} {records.patient_name}s to divide", f"at least {len(wanted) + 1}", "add records"
        )
    for name, share in wanted:
        held = draw_groups(counts[left], share * len(patients) / len(left), options.seed)
        by_patient |= {patients[row]: name for row in left[held]}
        left = left[~held]
    return [by_patient[records.patients[row]] if side is None else side for row, side in enumerate(sides)]
