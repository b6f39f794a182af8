"""Stages named by their content: equal inputs give the same folder, and a finished one is never done again.

ROOT/stages/KIND-KEY/      what the stage made, its checkpoints, and result.json once it is finished
ROOT/ledger.jsonl          reads of test sets
ROOT/runs/NAME-ID/         what a run leaves for people: report, files
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galenic.record.base import content_hash
from galenic.record.errors import StoreError
from galenic.store.files import locked, write_text

KEY_DIGITS = 20


@dataclass(frozen=True)
class Stage:
    """One stage's folder. ``key`` is the hash of everything that its result depends on."""

    folder: Path
    key: str

    @property
    def result(self) -> dict[str, Any] | None:
        """What ``finish`` wrote, or None while the stage is not finished."""
        path = self.folder / "result.json"
        if not path.exists():
            return None
        try:
            result: dict[str, Any] = json.loads(path.read_text())
        except ValueError as error:
            raise StoreError(
                given=f"{path} is damaged ({error})",
                expected="the JSON that a finished stage wrote",
                todo=f"delete the folder {self.folder} and run again: only this stage is done anew",
            ) from error
        return result

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result; from now on the stage counts as done."""
        write_text(self.folder / "result.json", json.dumps(result, sort_keys=True, indent=1))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the stage: a second process that wants it waits until the first is done."""
        with locked(self.folder / "lock"):
            yield


@dataclass(frozen=True)
class Store:
    """A folder of stages, a ledger and runs."""

    root: Path

    def stage(self, kind: str, inputs: Mapping[str, Any]) -> Stage:
        """The stage of this kind for these inputs (any JSON value)."""
        key = content_hash({"kind": kind, "inputs": inputs})
        return Stage(self.root / "stages" / f"{kind}-{key[:KEY_DIGITS]}", key)

    def run_folder(self, name: str, run_id: str) -> Path:
        """Where a run leaves its report and files."""
        return self.root / "runs" / f"{name}-{run_id}"
