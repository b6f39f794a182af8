"""ONNX Runtime's own profile of a session, as it writes it: Chrome's trace events, times in whole microseconds.

    {"cat": "Session", "name": "model_run", "ts", "dur"}                                     one inference
    {"cat": "Node", "name": "<node>_kernel_time", "ts", "dur", "args": {"op_name": ...}}     one operation in it
A node's name ends in ``_nchwc`` and the like where ONNX Runtime has put another layout, or several operations, in its place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from galenic.record.bench import OpTimes
from galenic.runtimes.profiled import Operation, op_table

RUN, KERNEL = "model_run", "_kernel_time"
US_PER_MS = 1000


def read_trace(events: Sequence[Mapping[str, Any]], warmup: int) -> OpTimes:
    """Every operation over the runs after the first ``warmup`` ones; what ran twice in one counts twice in it.

    The mean is that of the middle half of the runs: a median of whole microseconds would tell small operations apart too
    coarsely, and a plain mean would show whatever interrupted one of them.
    """
    runs = sorted((event for event in events if event["name"] == RUN), key=lambda event: event["ts"])[warmup:]
    if not runs:
        return OpTimes(reason="ONNX Runtime's profiler saw no inference")
    begun = [run["ts"] for run in runs]
    spent: dict[Operation, list[float]] = {}
    for event in events:
        if event["name"].endswith(KERNEL) and event["ts"] >= begun[0]:
            operation = event["name"].removesuffix(KERNEL), event["args"]["op_name"]
            times = spent.setdefault(operation, [0.0] * len(runs))
            times[bisect_right(begun, event["ts"]) - 1] += event["dur"] / US_PER_MS
    return op_table(
        {operation: interquartile_mean(times) for operation, times in spent.items()},
        runs=len(runs),
        statistic="interquartile mean",
        whole_ms=interquartile_mean([run["dur"] / US_PER_MS for run in runs]),
    )


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean without the smallest and the largest quarter (rounded down)."""
    left_out = len(values) // 4
    return fmean(sorted(values)[left_out : len(values) - left_out])
