"""Cold start: a fresh process from nothing to its first answer, and what of that the file's loading takes.

The clock of the total runs in the process that starts the other one, from before it exists until its first answer has been
written; those of the parts run inside of it. The disk's cache is warm: the file was read before.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from statistics import median
from threading import Timer
from time import perf_counter_ns
from typing import cast

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.bench import ColdStart
from galenic.record.errors import InputError, ModelError
from galenic.record.measurement import Place

MOST_SECONDS = 600


def measure_cold_start(
    artifact: Artifact, raw_rows: np.ndarray, *, threads: int = 1, device: str = "cpu", processes: int = 5
) -> ColdStart:
    """The medians of ``processes`` fresh processes, one after the other, that load ``artifact`` and answer the first raw row.

    Raises:
        InputError: no rows or no processes.
        ModelError: a process died; its last line is in the error.
    """
    if len(raw_rows) == 0 or processes < 1:
        raise InputError(
            f"{processes} processes on {len(raw_rows)} rows",
            "at least one process and one row",
            "give data that has rows",
        )
    row = io.BytesIO()
    np.save(row, np.ascontiguousarray(raw_rows[:1]), allow_pickle=False)
    order = json.dumps({"artifact": artifact.model_dump(mode="json"), "threads": threads, "device": device})
    told = order.encode() + b"\n" + row.getvalue()
    found = [_one(artifact, told) for _ in range(processes)]
    totals = [one["total"] for one, _ in found]
    parts = {name: median(one[name] for one, _ in found) for name in ("total", "imports", "load", "first_answer")}
    return ColdStart(**parts, low=min(totals), high=max(totals), n=processes, place=found[0][1])


def _one(artifact: Artifact, told: bytes) -> tuple[dict[str, float], Place]:
    """Milliseconds of one process, and what ran the file in it."""
    command = [sys.executable, "-P", "-m", "galenic.measuring.cold_start_child"]
    with tempfile.TemporaryFile() as errors:
        begun = perf_counter_ns()
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        alarm = Timer(MOST_SECONDS, child.kill)
        alarm.start()
        try:
            said = _first_line(child, told)
            total_ns = perf_counter_ns() - begun
            child.wait()
        finally:
            alarm.cancel()
            child.kill()
            child.wait()
            cast(io.BufferedReader, child.stdout).close()
        if child.returncode != 0 or not said:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            raise _failed(artifact, lines[-1] if lines else f"exit code {child.returncode}")
    heard = json.loads(said)
    place = Place.model_validate(heard.pop("place"))
    return {name: ns / 1e6 for name, ns in heard.items()} | {"total": total_ns / 1e6}, place


def _first_line(child: subprocess.Popen[bytes], told: bytes) -> bytes:
    """What the child says first; nothing where it died before."""
    orders, answers = cast(io.BufferedWriter, child.stdin), cast(io.BufferedReader, child.stdout)
    with suppress(BrokenPipeError), orders:
        orders.write(told)
    return answers.readline()


def _failed(artifact: Artifact, why: str) -> ModelError:
    return ModelError(
        given=f"a fresh process could not load {artifact.path} and answer with it: {why}",
        expected="a file that answers in a process of its own",
        todo="check the free memory of this machine, or make the file again",
    )
