"""Peak memory of a fresh process that loads a file and answers, as a device's own process would.

    peak_mb       the most resident memory of the whole process (VmHWM), Python and the runtime included
    baseline_mb   resident memory when the runtime was imported and the file not yet loaded

1 MB is 10^6 bytes. The process has never imported torch. Where the runtime needs a worker process (see ``WorkerSession``)
both count, with the torch that is in the worker: more than the runtime takes on a device that has it without Python.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.measurement import Measurement, Place

MOST_ROWS = 16
MOST_SECONDS = 600


@dataclass(frozen=True)
class Memory:
    """Megabytes of resident memory: the whole process at its peak, and before the file was loaded; what ran the file there."""

    peak_mb: float
    baseline_mb: float
    place: Place

    @property
    def peak(self) -> Measurement:
        """The peak with its place: one process, once."""
        return Measurement(value=self.peak_mb, unit="MB", low=self.peak_mb, high=self.peak_mb, n=1, place=self.place)


def measure_memory(artifact: Artifact, raw_rows: np.ndarray, *, threads: int = 1) -> Memory:
    """The memory of a child process that loads ``artifact`` and answers up to 16 raw rows, one by one.

    Raises:
        ModelError: the child died; its last line is in the error.
    """
    rows = io.BytesIO()
    np.save(rows, np.ascontiguousarray(raw_rows[:MOST_ROWS]), allow_pickle=False)
    order = json.dumps({"artifact": artifact.model_dump(mode="json"), "threads": threads})
    try:
        child = subprocess.run(
            [sys.executable, "-m", "galenic.measuring.memory_child"],
            input=order.encode() + b"\n" + rows.getvalue(),
            capture_output=True,
            timeout=MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(artifact, f"it did not answer within {MOST_SECONDS} s") from error
    if child.returncode != 0:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        raise _failed(artifact, lines[-1] if lines else f"exit code {child.returncode}")
    heard = json.loads(child.stdout)
    return Memory(heard["peak_mb"], heard["baseline_mb"], Place.model_validate(heard["place"]))


def _failed(artifact: Artifact, why: str) -> ModelError:
    return ModelError(
        given=f"a fresh process could not load {artifact.path} and answer with it: {why}",
        expected="a file that answers in a process of its own",
        todo="check the free memory of this machine, or make the file again",
    )
