"""A net in C as a file: what it says of itself, and what a compiler says of it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from galenic.record.artifact import Artifact
from galenic.runtimes import check

NET = re.compile(rb"^/\* net: (\{.*\}) \*/$", re.MULTILINE)
HARNESS = Path(__file__).parent / "c_harness"
MOST_COMPILE_S = 600.0


def facts_of(artifact: Artifact, data: bytes) -> dict[str, Any]:
    """The JSON of its ``net`` line: inputs, outputs, bytes and grids; ModelError where it has none."""
    found = NET.search(data)
    if found is None:
        raise check.damaged(artifact, "galenic", ValueError("it has no line that says what the net is"))
    facts: dict[str, Any] = json.loads(found.group(1))
    return facts


def compile_net(artifact: Artifact, command: Sequence[str], folder: Path) -> None:
    """Run a compiler in ``folder``; ModelError with its first error where it refuses."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=MOST_COMPILE_S, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or [f"it left with {done.returncode}"]
        raise check.damaged(artifact, command[0], ValueError(errors[0]))


def program_version(*command: str) -> str:
    """The first number of dots and digits that a program says."""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    return found.group() if found else said.strip()
