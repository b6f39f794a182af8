"""Single-stream latency, MLPerf-style: batch 1, one answer after the other, warm, and the parts that an answer has.

    latency = preprocessing + inference + postprocessing of one raw row, by the wall clock
    p90     = the smallest measured latency that at least 90 % of the answers keep (nearest rank)

The rows are taken in turn. Python's garbage collector is off meanwhile; the threads are the Session's. Where the file runs
in a worker process the inference is by the clock in there: the pipe to it is not on any device.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns

import numpy as np

from galenic.record.errors import InputError
from galenic.record.measurement import Breakdown, Latency
from galenic.record.session import Session, WorkerSession
from galenic.record.task import TaskKind
from galenic.runtimes.answer import postprocess, prepare
from galenic.runtimes.check import CPU

Clock = Callable[[], int]
"""Nanoseconds that never go back."""
AnswerTimer = Callable[[np.ndarray], tuple[int, int, int]]


def measure_latency(
    session: Session, raw_rows: np.ndarray, *, runs: int, warmup: int, kind: TaskKind = TaskKind.SINGLE_LABEL
) -> tuple[Latency, Breakdown]:
    """The latency of ``runs`` whole answers after ``warmup`` uncounted ones, and the median of each part."""
    if len(raw_rows) == 0 or runs < 1:
        raise InputError(
            f"{runs} runs on {len(raw_rows)} rows", "at least one run and one row", "set measure.runs to 20 or more"
        )
    singles = [np.ascontiguousarray(raw_rows[row : row + 1]) for row in range(len(raw_rows))]
    time_one = answer_timer(session, kind)
    with quiet_collector():
        for turn in range(warmup):
            time_one(singles[turn % len(singles)])
        parts_ns = np.array([time_one(singles[turn % len(singles)]) for turn in range(runs)])
    return summarise(parts_ns, session)


def answer_timer(session: Session, kind: TaskKind, clock: Clock = perf_counter_ns) -> AnswerTimer:
    """What times one raw row (1, *raw_shape): nanoseconds of its preprocessing, inference and postprocessing."""
    worker = (
        session if isinstance(session, WorkerSession) else None
    )  # asked once: it takes as long as a small net's answer

    def time_one(raw: np.ndarray) -> tuple[int, int, int]:
        start = clock()
        inputs = prepare(session, raw)
        prepared = clock()
        logits = session.run(inputs)
        answered = clock()
        postprocess(logits, kind)
        finished = clock()
        inference = answered - prepared if worker is None else worker.inference_ns
        return prepared - start, inference, finished - answered

    return time_one


def summarise(parts_ns: np.ndarray, session: Session) -> tuple[Latency, Breakdown]:
    """(runs, 3) nanoseconds to percentiles of the whole and medians of the parts, in milliseconds."""
    p50, p90, p99 = (float(value) / 1e6 for value in nearest_rank(parts_ns.sum(axis=1), (50, 90, 99)))
    medians = np.median(parts_ns, axis=0) / 1e6
    place = session.place
    versions = ", ".join(f"{name} {version}" for name, version in place.versions.items()) or place.runtime
    latency = Latency(
        p50=p50,
        p90=p90,
        p99=p99,
        runs=len(parts_ns),
        threads=place.threads,
        where="; ".join(filter(None, (place.machine, place.device * (place.device != CPU), versions, place.caveat))),
        caveat=place.caveat,
    )
    preprocessing, inference, postprocessing = (float(median) for median in medians)
    return latency, Breakdown(preprocessing=preprocessing, inference=inference, postprocessing=postprocessing)


def nearest_rank(values: np.ndarray, percentiles: tuple[float, ...]) -> np.ndarray:
    """The smallest value that at least that percentage of ``values`` does not exceed: always one that was measured."""
    ranked: np.ndarray = np.percentile(values, percentiles, method="inverted_cdf")
    return ranked


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Python's garbage collector is off meanwhile: it would fall on one answer of many."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
