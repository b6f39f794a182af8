"""The process whose memory is measured: one JSON line and a .npy of raw rows on stdin, one JSON line on stdout."""

from __future__ import annotations

import io
import json
import re
import resource
import sys
from pathlib import Path

import numpy as np
import psutil

from galenic.record.artifact import Artifact
from galenic.record.session import WorkerSession
from galenic.record.task import TaskKind
from galenic.runtimes.answer import postprocess, run_raw
from galenic.runtimes.load import require_runtime

PROCESSES = Path("/proc")


def main() -> None:
    """Load the file, answer each row, and say what it took."""
    order = json.loads(sys.stdin.buffer.readline())
    rows = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    artifact = Artifact.model_validate(order["artifact"])
    runtime = require_runtime(artifact.runtime)
    runtime.imported()
    baseline_mb = resident_mb("VmRSS")
    session = runtime.load(artifact, threads=order["threads"])
    for row in range(len(rows)):
        postprocess(run_raw(session, rows[row : row + 1]), TaskKind.SINGLE_LABEL)
    peak_mb = resident_mb("VmHWM")
    if isinstance(session, WorkerSession):
        baseline_mb += session.baseline_mb
        peak_mb += resident_mb("VmHWM", session.process_id)
    place = session.place.model_dump(mode="json")
    print(json.dumps({"peak_mb": peak_mb, "baseline_mb": baseline_mb, "place": place}))


def resident_mb(field: str, process_id: int | None = None) -> float:
    """VmRSS (now) or VmHWM (the most so far) of this process, or of another one, in 10^6 bytes.

    Elsewhere than on Linux only the most so far of this process is known, and of another one what it has now. On Linux
    getrusage is not used for it: its maximum is inherited from the process that started this one.
    """
    status = PROCESSES / ("self" if process_id is None else str(process_id)) / "status"
    if status.is_file():
        found = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024 / 1e6
    if process_id is not None:
        return float(psutil.Process(process_id).memory_info().rss) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main()
