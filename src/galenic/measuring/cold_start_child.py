"""The process whose start is timed: a JSON line and a .npy of one raw row on stdin, a JSON line of times and place on stdout."""

from __future__ import annotations

import io
import json
import os
import sys
from time import perf_counter_ns

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.task import TaskKind
from galenic.runtimes.answer import postprocess, run_raw
from galenic.runtimes.load import require_runtime


def main() -> None:
    """Load the file, answer the row, and say at once what it took."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a runtime prints on stdout must not come before the answer
    order = json.loads(sys.stdin.buffer.readline())
    row = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    artifact = Artifact.model_validate(order["artifact"])
    runtime = require_runtime(artifact.runtime)
    begun = perf_counter_ns()
    runtime.imported()
    imported = perf_counter_ns()
    session = runtime.load(artifact, threads=order["threads"], device=order["device"])
    loaded = perf_counter_ns()
    postprocess(run_raw(session, row), TaskKind.SINGLE_LABEL)
    answered = perf_counter_ns()
    times = {"imports": imported - begun, "load": loaded - imported, "first_answer": answered - loaded}
    print(json.dumps(times | {"place": session.place.model_dump(mode="json")}), file=answers, flush=True)


if __name__ == "__main__":
    main()
