"""A duel: two files timed in turn, so that what the machine does meanwhile falls on both (whole answers, batch 1).

    ratio = median over rounds of  median latency of the first / median latency of the second      in the same round
Above 1 the second is faster. The interval is the sign test's: the order statistics between which the median of the rounds' ratios
lies with at least 95 % whatever their distribution. The order alternates from round to round.
"""

from __future__ import annotations

from math import comb

import numpy as np

from galenic.measuring.latency import answer_timer, quiet_collector
from galenic.record.errors import InputError
from galenic.record.measurement import Ratio
from galenic.record.session import Session
from galenic.record.task import TaskKind

ROUNDS, ANSWERS, WARMUP = 25, 8, 5
FEWEST_ROUNDS = 6  # with fewer no interval of two of them holds the median with 95 %


def duel(
    first: Session,
    second: Session,
    raw_rows: np.ndarray,
    *,
    rounds: int = ROUNDS,
    answers: int = ANSWERS,
    kind: TaskKind = TaskKind.SINGLE_LABEL,
) -> Ratio:
    """How many times faster ``second`` answers than ``first``.

    Args:
        first, second: loaded with the same number of threads.
        raw_rows: (n, *raw_shape), taken in turn.
        rounds: of both.
        answers: timed of each in a round.
        kind: of the task, for the postprocessing.

    Raises:
        InputError: no rows, too few rounds, or other threads.
    """
    if len(raw_rows) == 0 or rounds < FEWEST_ROUNDS or answers < 1:
        raise InputError(
            f"{rounds} rounds of {answers} answers on {len(raw_rows)} rows",
            f"at least {FEWEST_ROUNDS} rounds, one answer and one row",
            "give more rounds",
        )
    if first.place.threads != second.place.threads:
        raise InputError(
            f"{first.place.threads} and {second.place.threads} threads",
            "the same number for both",
            "open both sessions with the same threads",
        )
    singles = [np.ascontiguousarray(raw_rows[row : row + 1]) for row in range(len(raw_rows))]

    timers = {id(session): answer_timer(session, kind) for session in (first, second)}

    def median_ns(session: Session, turns: range) -> float:
        time_one = timers[id(session)]
        return float(np.median([sum(time_one(singles[turn % len(singles)])) for turn in turns]))

    ratios = []
    with quiet_collector():
        for session in (first, second):
            median_ns(session, range(WARMUP))
        for number in range(rounds):
            turns = range(number * answers, (number + 1) * answers)
            order = (first, second) if number % 2 == 0 else (second, first)
            times = {id(session): median_ns(session, turns) for session in order}
            ratios.append(times[id(first)] / times[id(second)])
    low, high = median_interval(ratios)
    return Ratio(value=float(np.median(ratios)), low=low, high=high, rounds=rounds)


def median_interval(values: list[float], confidence: float = 0.95) -> tuple[float, float]:
    """The k-th smallest and k-th largest value, k as large as the sign test allows."""
    n, tail, k = len(values), 0.0, 0
    while 2 * (tail + comb(n, k) / 2**n) <= 1 - confidence:
        tail += comb(n, k) / 2**n
        k += 1
    ranked = sorted(values)
    return ranked[max(k - 1, 0)], ranked[n - max(k, 1)]
