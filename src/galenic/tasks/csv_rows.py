"""A CSV as columns of texts; whatever is wrong in it is named by file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from galenic.record.errors import DataError
from galenic.tasks.checks import existing_file
from galenic.tasks.source import unknown_name


@dataclass(frozen=True)
class CsvRows:
    """The cells of a CSV with a header, and the line of the file that each row ends on (a cell may span lines)."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, columns: Sequence[str]) -> None:
        """Raise InputError where a column is not in the header, with the nearest one that is."""
        for name in columns:
            if name not in self.header:
                raise unknown_name("column", name, self.header, f"in {self.path}")

    def column(self, name: str) -> list[str]:
        """Its cells, without blanks around them."""
        index = self.header.index(name)
        return [row[index].strip() for row in self.rows]

    def filled(self, name: str) -> list[str]:
        """Its cells, none of which may be empty."""
        cells = self.column(name)
        empty = [row for row, cell in enumerate(cells) if not cell]
        if empty:
            raise DataError(
                f"{self.place(empty[0])}: nothing in the column {name} ({len(empty)} such rows)",
                f"a value for {name} in each row",
                "fill it in, or take these rows out",
            )
        return cells

    def place(self, row: int) -> str:
        """Where a row stands, for errors."""
        return f"{self.path}, line {self.lines[row]}"


def read_csv(path: Path) -> CsvRows:
    """The rows of a comma-separated UTF-8 file; blank lines are left out."""
    data = existing_file(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8", "UTF-8 text", "save the file as UTF-8"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if not header:
                header = _checked_header(path, cells)
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells",
                    f"{len(header)}, one for each of {', '.join(header)}",
                    "put quotes around texts that hold a comma",
                )
            rows.append(tuple(cells))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: not a CSV ({error})",
            "comma-separated text with a header",
            "export it anew",
        ) from error
    if not rows:
        raise DataError(f"{path}: a header and no rows", "at least one row", "export it anew")
    return CsvRows(path, header, tuple(rows), tuple(lines))


def _checked_header(path: Path, cells: list[str]) -> tuple[str, ...]:
    header = tuple(cell.strip() for cell in cells)
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}, line 1: the column {twice!r} stands twice", "one column of each name", "rename one")
    return header
