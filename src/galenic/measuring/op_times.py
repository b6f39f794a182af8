"""Where the time of one row goes, operation by operation, as a file's runtime tells it itself.

A profiler costs time, so the sum is more than an answer without it takes: the shares are what counts. Runtimes fuse operations; a
fused one has the runtime's own name. A runtime that tells nothing is a reason, not a guess.
"""

from __future__ import annotations

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.bench import OpTimes
from galenic.record.errors import InputError
from galenic.runtimes.answer import prepare
from galenic.runtimes.load import require_runtime

RUNS = 50


def op_times(
    artifact: Artifact, raw_rows: np.ndarray, *, threads: int = 1, device: str = "cpu", runs: int = RUNS
) -> OpTimes:
    """The milliseconds of every operation over ``runs`` answers of one row each, the longest first.

    Raises:
        InputError: no rows or no runs.
    """
    if len(raw_rows) == 0 or runs < 1:
        raise InputError(
            f"{runs} runs on {len(raw_rows)} rows", "at least one run and one row", "give data that has rows"
        )
    runtime = require_runtime(artifact.runtime)
    if runtime.op_times is None:
        return OpTimes(reason=runtime.no_op_times or f"{runtime.name} does not tell how long its operations take")
    inputs = prepare(runtime.load(artifact, threads=threads, device=device), raw_rows)
    return runtime.op_times(artifact, inputs, threads=threads, device=device, runs=runs)
