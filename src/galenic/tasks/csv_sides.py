"""Labels, sides and groups from the columns of a CSV, for sources whose rows lie in files of their own.

Sides are train, validation and test, by a column that says so or held out by whole groups (patients, records), never by rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from galenic.record.errors import DataError
from galenic.record.task import SplitName
from galenic.tasks.csv_rows import CsvRows
from galenic.tasks.groups import UNKNOWN, to_bands
from galenic.tasks.text import JUDGED, SPLIT_WORDS

SPLIT_COLUMN = "split"


def read_classes(table: CsvRows, column: str, given: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The class names and (n,) int64 labels; where none are given, those of the file, in the order of numbers or letters."""
    names = table.filled(column)
    found = set(names)
    classes = tuple(given) or tuple(sorted(found, key=int) if all(map(is_number, found)) else sorted(found))
    for row, name in enumerate(names):
        if name not in classes:
            raise DataError(
                f"{table.place(row)}: the label {name!r}",
                f"one of the classes {', '.join(classes)}",
                "correct the label, or add it to the option classes",
            )
    return classes, np.array([classes.index(name) for name in names], dtype=np.int64)


def says_order(given: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether the order of two classes is meant: they are listed, or numbers. The alphabet does not say which is disease."""
    return bool(given) or all(is_number(name) for name in classes)


def read_sides(table: CsvRows, named: str | None) -> tuple[SplitName, ...] | None:
    """The split of each row, by the named column or by one called split; None where there is no such column."""
    column = named or (SPLIT_COLUMN if SPLIT_COLUMN in table.header else None)
    if column is None:
        return None
    table.require([column])
    values = table.column(column)
    wrong = next((row for row, value in enumerate(values) if value.lower() not in SPLIT_WORDS), None)
    if wrong is not None:
        raise DataError(
            f"{table.place(wrong)}: the split {values[wrong]!r}", f"one of {', '.join(SPLIT_WORDS)}", "correct it"
        )
    sides = tuple(SPLIT_WORDS[value.lower()] for value in values)
    missing = next((name for name in JUDGED if name not in sides), None)
    if missing is not None:
        raise DataError(
            f"{table.path}, split {missing.value}: 0 rows in the column {column}",
            "rows of train, val and test",
            "mark some, or leave the column out so that rows are held out",
        )
    return sides


def read_groups(table: CsvRows, columns: Sequence[str], band: float) -> Mapping[str, np.ndarray]:
    """Column -> (n,) str; numbers with many values are cut into bands, empty cells are "unknown"."""
    table.require(columns)
    cells = {name: np.array([value or UNKNOWN for value in table.column(name)], dtype=str) for name in columns}
    return {name: to_bands(values, band) for name, values in cells.items()}


def is_number(name: str) -> bool:
    """Whether a class is named by a whole number."""
    return name.isascii() and name.isdigit()
