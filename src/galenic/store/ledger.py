"""The ledger of test-set reads: append-only JSON lines, each bound to the one before by its hash.

A read is entered before the test set is touched, with the margins declared for it. Lines are never rewritten; a line
that was changed or cut afterwards breaks the chain and is reported.
"""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from galenic.record.base import Record, content_hash
from galenic.record.errors import StoreError
from galenic.record.gate import Floors, Margins
from galenic.store.files import storing

FIRST = "0" * 64


class Read(Record):
    """One read of one test set.

    Attributes:
        split_hash: the test set.
        purpose: ``gate``, or ``comparison`` for a benchmark that reads the test set by design.
        subject: the sha256 of the file that was judged (or the name of a comparison).
        margins, floors, alpha: what had been declared.
        time: UTC, ISO 8601.
    """

    split_hash: str
    purpose: str
    subject: str
    margins: Margins
    floors: Floors
    alpha: float
    time: str = ""


class Ledger:
    """The ledger in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def reads(self, split_hash: str) -> list[Read]:
        """All reads of a test set so far, oldest first."""
        return [read for read in self._entries() if read.split_hash == split_hash]

    def enter(self, read: Read) -> int:
        """Append a read and return how many this test set has had, this one included."""
        with storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                lines = self._lines()
                entry: dict[str, Any] = read.model_copy(
                    update={"time": read.time or datetime.now(UTC).isoformat(timespec="seconds")}
                ).model_dump(mode="json")
                previous = lines[-1]["hash"] if lines else FIRST
                line = {"read": entry, "previous": previous, "hash": content_hash([previous, entry])}
                file.write(json.dumps(line, sort_keys=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return len(self.reads(read.split_hash))

    def _entries(self) -> list[Read]:
        return [Read.model_validate(line["read"]) for line in self._lines()]

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines: list[dict[str, Any]] = []
        previous = FIRST
        for number, text in enumerate(self.path.read_text().splitlines(), 1):
            try:
                line = json.loads(text)
                intact = line["previous"] == previous and line["hash"] == content_hash([previous, line["read"]])
            except (ValueError, KeyError, TypeError):
                intact = False
            if not intact:
                raise StoreError(
                    given=f"line {number} of {self.path} was changed or cut after it was written",
                    expected="an unbroken chain of test-set reads",
                    todo="restore the file from a backup, or start a new store with --store and say so in your records",
                )
            lines.append(line)
            previous = line["hash"]
        return lines
