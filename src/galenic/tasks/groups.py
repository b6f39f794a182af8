"""Group columns from a CSV, joined on an id; numeric columns (age) are cut into bands."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galenic.record.errors import DataError
from galenic.tasks.checks import existing_file
from galenic.tasks.source import unknown_name

UNKNOWN = "unknown"
_FEW_VALUES = 8  # a numeric column with no more distinct values than this is a code, not a quantity


@dataclass(frozen=True)
class GroupTable:
    """id -> row number, and column -> (rows,) str."""

    path: Path
    rows: dict[str, int]
    columns: dict[str, np.ndarray]

    def join(self, where: str, split: str, ids: np.ndarray) -> dict[str, np.ndarray]:
        """Column -> (n,) str for these ids; DataError names the first id without a row."""
        missing = [row for row, name in enumerate(ids) if str(name) not in self.rows]
        if missing:
            raise DataError(
                f"{where}, split {split}, row {missing[0]}: id {ids[missing[0]]!s} is not in {self.path} "
                f"({len(missing)} such rows)",
                "a line for each id",
                "add the lines, or set csv_id to the column that holds the ids",
            )
        index = np.array([self.rows[str(name)] for name in ids])
        return {name: values[index] for name, values in self.columns.items()}


def read_groups(path: Path, id_column: str, columns: Sequence[str], band: float) -> GroupTable:
    """Read the named columns (all but the id where none is named)."""
    existing_file(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
            header = tuple(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: not a CSV ({error})", "comma-separated text with a header", "export it anew"
        ) from error
    if id_column not in header:
        raise unknown_name("id column", id_column, header, f"(csv_id) in {path}")
    wanted = tuple(columns) or tuple(name for name in header if name != id_column)
    for name in wanted:
        if name not in header:
            raise unknown_name("group column", name, header, f"(csv_columns) in {path}")
    table = {name: _cells(lines, name) for name in wanted}
    return GroupTable(path, _index(path, lines, id_column, table), {n: to_bands(v, band) for n, v in table.items()})


def to_bands(values: np.ndarray, width: float) -> np.ndarray:
    """Numbers to half-open bands: with width 20, 45 becomes "40-59" and 40.5 too. Other columns stay as they are."""
    known = values != UNKNOWN
    try:
        numbers = values[known].astype(np.float64)
    except ValueError:
        return values
    if len(np.unique(numbers)) <= _FEW_VALUES or not np.isfinite(numbers).all():
        return values
    low = np.floor(numbers / width) * width
    bands = values.astype(object)
    bands[known] = [f"{start:g}-{start + width - 1:g}" if width >= 2 else f"from {start:g}" for start in low]
    return bands.astype(str)


def _cells(lines: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([(line[name] or "").strip() or UNKNOWN for line in lines], dtype=str)


def _index(path: Path, lines: list[dict[str, str]], id_column: str, table: dict[str, np.ndarray]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, line in enumerate(lines):
        name = line[id_column]
        before = rows.setdefault(name, row)
        if before != row and any(values[before] != values[row] for values in table.values()):
            raise DataError(
                f"{path}, lines {before + 2} and {row + 2}: id {name} stands twice with different values",
                "one line per id",
                "take one of them out",
            )
    return rows
