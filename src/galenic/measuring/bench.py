"""What ``galenic bench`` measures of one session: MLPerf-style single stream, and offline throughput.

    single stream   one answer after the other until there are at least ``samples`` of them and they took ``seconds``
    p90             the smallest latency that at least 90 % of the answers keep (nearest rank)
    its interval    the order statistics of rank n q -+ 1.96 sqrt(n q (1 - q)), q = 0.9: 95 % of the time the p90 of endless
                    answers like these lies between them, as long as answers do not depend on each other
    offline         samples/s of whole answers in batches: the median of ``WINDOWS`` windows in turn, with the sign test's interval
"MLPerf-style", since MLPerf's own rules are about its own nets and its own load generator.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, sqrt
from time import perf_counter_ns

import numpy as np

from galenic.measuring.duel import median_interval
from galenic.measuring.latency import AnswerTimer, Clock, answer_timer, quiet_collector, summarise
from galenic.record.bench import Mode, RealTime, Stream
from galenic.record.errors import InputError
from galenic.record.measurement import Measurement
from galenic.record.session import Session, WorkerSession
from galenic.record.task import TaskKind
from galenic.runtimes.answer import postprocess, prepare

HARD_MS, SOFT_MS = 10.0, 100.0
P90 = 0.9
Z95 = 1.959964
WINDOWS = 6
"""Of the offline scenario: the fewest whose smallest and largest hold the median with 95 % (1 - 2 / 2^6 = 97 %)."""


@dataclass(frozen=True)
class Floor:
    """The least that is measured: this many answers, and this long."""

    samples: int
    seconds: float
    warmup: int
    offline_seconds: float
    """Of each of the offline windows."""


FLOORS = {
    Mode.FULL: Floor(samples=1024, seconds=60.0, warmup=50, offline_seconds=2.0),
    Mode.QUICK: Floor(samples=64, seconds=2.0, warmup=10, offline_seconds=0.1),
}


def single_stream(
    session: Session,
    raw_rows: np.ndarray,
    least: Floor,
    *,
    kind: TaskKind = TaskKind.SINGLE_LABEL,
    clock: Clock = perf_counter_ns,
) -> np.ndarray:
    """(answers, 3) nanoseconds of preprocessing, inference and postprocessing; nobody is told meanwhile, which takes time.

    Raises:
        InputError: there are no rows.
    """
    singles = as_singles(raw_rows)
    time_one = answer_timer(session, kind, clock)
    with quiet_collector():
        for turn in range(least.warmup):
            time_one(singles[turn % len(singles)])
        found = timed_loop(time_one, singles, least, clock)
    return np.frombuffer(found, np.int64).reshape(-1, 3)


def timed_loop(time_one: AnswerTimer, singles: Sequence[np.ndarray], least: Floor, clock: Clock) -> array[int]:
    """The loop itself: three numbers an answer, until both floors are reached. Its own cost is benchmarks/bench_overhead.py."""
    found = array("q")
    end, count = clock() + least.seconds * 1e9, 0
    while clock() < end or count < least.samples:
        found.extend(time_one(singles[count % len(singles)]))
        count += 1
    return found


def stream_of(parts_ns: np.ndarray, session: Session) -> Stream:
    """(answers, 3) nanoseconds as a record, in milliseconds."""
    latency, breakdown = summarise(parts_ns, session)
    whole_ns = parts_ns.sum(axis=1)
    low, high = quantile_interval(whole_ns)
    return Stream(
        latency=latency,
        p90_low=low / 1e6,
        p90_high=high / 1e6,
        breakdown=breakdown,
        seconds=float(whole_ns.sum()) / 1e9,
        real_time=None if latency.caveat else real_time(latency.p90),
    )


def quantile_interval(values: np.ndarray, quantile: float = P90) -> tuple[float, float]:
    """The values of rank n q -+ 1.96 sqrt(n q (1 - q)), ranks from 1 and inside of 1..n: see the module's formula."""
    n = len(values)
    spread = Z95 * sqrt(n * quantile * (1 - quantile))
    ranked = np.sort(values)
    low, high = max(floor(n * quantile - spread), 1), min(ceil(n * quantile + spread), n)
    return float(ranked[low - 1]), float(ranked[high - 1])


def real_time(p90_ms: float) -> RealTime:
    """Which deadline is kept: hard under 10 ms, soft under 100 ms, or none."""
    if p90_ms < HARD_MS:
        return RealTime.HARD
    return RealTime.SOFT if p90_ms < SOFT_MS else RealTime.NONE


def offline(
    session: Session,
    raw_rows: np.ndarray,
    *,
    batch_rows: int,
    window_seconds: float,
    kind: TaskKind = TaskKind.SINGLE_LABEL,
    clock: Clock = perf_counter_ns,
) -> Measurement:
    """Samples/s of whole answers, ``batch_rows`` at a time; ``raw_rows`` are taken again and again.

    Raises:
        InputError: there are no rows, or no batch.
    """
    if batch_rows < 1:
        raise InputError(f"batches of {batch_rows} rows", "at least one row", "give for instance 32")
    singles = as_singles(raw_rows)
    batch = np.concatenate([singles[row % len(singles)] for row in range(batch_rows)])
    worker = session if isinstance(session, WorkerSession) else None

    def window() -> float:
        begun, answered, pipe_ns = clock(), 0, 0
        while (now := clock()) - begun < window_seconds * 1e9 or not answered:
            inputs = prepare(session, batch)
            asked = clock()
            logits = session.run(inputs)
            if worker is not None:  # the way to the worker and back, which no device has
                pipe_ns += clock() - asked - worker.inference_ns
            postprocess(logits, kind)
            answered += batch_rows
        return answered / (now - begun - pipe_ns) * 1e9

    with quiet_collector():
        postprocess(session.run(prepare(session, batch)), kind)
        rates = [window() for _ in range(WINDOWS)]
    low, high = median_interval(rates)
    return Measurement(
        value=float(np.median(rates)), unit="samples/s", low=low, high=high, n=WINDOWS, place=session.place
    )


def as_singles(raw_rows: np.ndarray) -> list[np.ndarray]:
    """Every row as a batch of one, contiguous; InputError where there is none."""
    if len(raw_rows) == 0:
        raise InputError("no rows to time the file with", "at least one row", "give data that has rows")
    return [np.ascontiguousarray(raw_rows[row : row + 1]) for row in range(len(raw_rows))]
