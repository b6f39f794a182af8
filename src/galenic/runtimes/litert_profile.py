"""How long each operation of a .tflite file takes, by LiteRT's own profiler, which runs in a process of its own.

Its Python package does not reach the profiler; the C interface of the library that the package brings does, without any check of
what it is given (``litert_profile_worker``). Operations have XNNPACK's names, as it fused them, behind their place in the order of
computation; times are told in whole microseconds, so what takes less than one shows as 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from galenic.record.bench import OpTimes
from galenic.record.errors import ModelError
from galenic.runtimes.frames import ANSWER, LOAD, READY, ROWS, START
from galenic.runtimes.onnxruntime_trace import interquartile_mean
from galenic.runtimes.profiled import WARMUP, Operation, op_table
from galenic.runtimes.worker import Worker
from galenic.runtimes.worker_session import CLOCK_BYTES

WORKER = "galenic.runtimes.litert_profile_worker"
US_PER_MS = 1000
MOST_LOAD_S, MOST_RUN_S = 120.0, 30.0
MOST_ANSWER_BYTES = 1 << 26


def profiled(data: bytes, batches: np.ndarray, outputs: int, *, threads: int, runs: int, subject: str) -> OpTimes:
    """The time of every operation for one row; a reason where the profiler does not work here.

    Args:
        data: of the file.
        batches: (n, batch, ...) float32, as the file takes them.
        outputs: how many numbers it answers for a row.
        threads: of the processor.
        runs: that are counted.
        subject: the file, in words.
    """
    _, rows, *_ = batches.shape
    setting = {"shape": batches.shape[1:], "answer": (rows, outputs), "threads": threads, "runs": WARMUP + runs}
    worker = Worker(WORKER, f"{subject} in LiteRT's profiler")
    try:
        _ask(worker, START, json.dumps(setting).encode(), MOST_LOAD_S)
        _ask(worker, LOAD, data, MOST_LOAD_S)
        said = _ask(worker, ROWS, batches.tobytes(), MOST_LOAD_S + MOST_RUN_S * (WARMUP + runs))
    except ModelError as error:
        return OpTimes(reason=f"LiteRT's profiler did not answer: {error.given}")
    finally:
        worker.close()
    told: dict[str, Any] = json.loads(said[CLOCK_BYTES:])
    return table(told, rows)


def table(told: Mapping[str, Any], rows: int) -> OpTimes:
    """What the worker told of each run (``litert_profile_worker``), for one of its ``rows``."""
    operations, spent_us, whole_us = told["operations"], np.array(told["spent_us"]), np.array(told["whole_us"])
    if not operations:
        return OpTimes(reason="LiteRT's profiler saw no operation")
    spent: dict[Operation, float] = {}
    for place, name in enumerate(operations):
        times = spent_us[WARMUP:, place] / (US_PER_MS * rows)
        spent[f"{place} {name}", name.partition(" (")[0]] = interquartile_mean(times.tolist())
    whole = whole_us[WARMUP:] / (US_PER_MS * rows)
    return op_table(spent, runs=len(whole), statistic="interquartile mean", whole_ms=interquartile_mean(whole.tolist()))


def _ask(worker: Worker, kind: bytes, payload: bytes, within_s: float) -> bytes:
    said, answer = worker.ask(kind, payload, within_s=within_s, most_bytes=MOST_ANSWER_BYTES)
    if said not in (READY, ANSWER):
        raise ModelError(answer.decode(errors="replace"), "an answer", "export the file again")
    return bytes(answer)
