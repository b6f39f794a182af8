"""Single stream and offline with a clock that the test moves, and the p90's interval against the binomial distribution."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

from galenic.measuring.bench import FLOORS, Floor, offline, quantile_interval, real_time, single_stream, stream_of
from galenic.record.bench import Mode, RealTime
from galenic.record.errors import InputError
from galenic.record.measurement import Place

ROWS = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], np.float32)
MS = 1_000_000


class Clock:
    """Stands still but for what is asked of it: each look takes ``tick`` ns, and a session moves it on."""

    def __init__(self, tick: int = 0) -> None:
        self.now, self.tick = 0, tick

    def __call__(self) -> int:
        self.now += self.tick
        return self.now


class Timed:
    """A session whose answers take the given milliseconds in turn, by the clock."""

    def __init__(self, session, clock: Clock, *milliseconds: float) -> None:
        self.artifact, self.place, self._session = session.artifact, session.place, session
        self.clock, self.milliseconds = clock, milliseconds
        self.first_values, self.collecting = [], []

    def run(self, inputs):
        self.clock.now += int(self.milliseconds[len(self.first_values) % len(self.milliseconds)] * MS)
        self.first_values.append(float(inputs[0, 0]))
        self.collecting.append(gc.isenabled())
        return self._session.run(inputs)


def test_the_floors_are_mlperfs_and_those_of_a_quick_look():
    assert (FLOORS[Mode.FULL].samples, FLOORS[Mode.FULL].seconds) == (1024, 60.0)
    assert (FLOORS[Mode.QUICK].samples, FLOORS[Mode.QUICK].seconds) == (64, 2.0)


@pytest.mark.parametrize(
    ("samples", "seconds", "answers"),
    [
        (5, 0.0, 5),  # enough answers
        (5, 0.1, 10),  # 100 ms of 10 ms each
        (20, 0.1, 20),  # both floors
        (1, 0.101, 11),  # the last one begins before the time is over
    ],
)
def test_it_goes_on_until_both_floors_are_reached(session, samples, seconds, answers):
    clock = Clock()
    parts = single_stream(Timed(session, clock, 10), ROWS, Floor(samples, seconds, 0, 0), clock=clock)
    assert parts.shape == (answers, 3)
    np.testing.assert_array_equal(parts, [[0, 10 * MS, 0]] * answers)


def test_warm_up_is_not_counted_rows_are_taken_in_turn_and_the_collector_is_off(session):
    clock = Clock()
    timed = Timed(session, clock, 100, 100, 1, 2, 3, 4)
    parts = single_stream(timed, ROWS, Floor(4, 0.0, 2, 0), clock=clock)
    np.testing.assert_array_equal(parts[:, 1] / MS, [1, 2, 3, 4])
    # (raw - 1) / 1 of the rows 1, 2, 3: warm-up from the first row, then the counted ones from the first again
    assert timed.first_values == [0, 1, 0, 1, 2, 0]
    assert timed.collecting == [False] * 6
    assert gc.isenabled()


def test_the_parts_are_what_passes_between_the_looks(session):
    clock = Clock(tick=3)  # preprocessing and postprocessing are one look each, inference one and 1 ms
    parts = single_stream(Timed(session, clock, 1), ROWS, Floor(2, 0.0, 0, 0), clock=clock)
    np.testing.assert_array_equal(parts, [[3, MS + 3, 3]] * 2)


def test_a_record_by_hand(session):
    # answers of 1..10 ms: p90 is 9; n q = 9 and 1.96 sqrt(0.9) = 1.86, so ranks 7 and 10 (which is all there is)
    parts = np.array([[0, ms * MS, 0] for ms in range(1, 11)])
    found = stream_of(parts, session)
    assert (found.latency.p90, found.p90_low, found.p90_high) == (9.0, 7.0, 10.0)
    assert found.seconds == pytest.approx(0.055)
    assert found.real_time is RealTime.HARD


def test_a_place_with_a_caveat_keeps_no_deadline(session):
    place = session.place.model_copy(update={"caveat": "graph checked, never run on Apple hardware"})
    found = stream_of(np.ones((3, 3)), SimpleNamespace(place=place))
    assert found.real_time is None
    assert found.latency.caveat == place.caveat


@pytest.mark.parametrize(
    ("p90_ms", "deadline"),
    [(9.99, RealTime.HARD), (10.0, RealTime.SOFT), (99.9, RealTime.SOFT), (100.0, RealTime.NONE)],
)
def test_deadlines(p90_ms, deadline):
    assert real_time(p90_ms) is deadline


@pytest.mark.parametrize("n", [64, 200, 1024, 5000])
def test_the_interval_holds_the_p90_95_percent_of_the_time(n):
    low, high = quantile_interval(np.arange(1, n + 1))
    # the ranks (low, high) hold it unless fewer than low or at least high of n answers are below it
    held = binom.cdf(high - 1, n, 0.9) - binom.cdf(low - 1, n, 0.9)
    assert 0.945 < held < 0.985
    assert low <= np.ceil(0.9 * n) <= high


def test_throughput_is_the_median_window_between_the_smallest_and_the_largest(session):
    clock = Clock()
    found = offline(
        Timed(session, clock, 0, 10, 20, 30, 40, 50, 60), ROWS, batch_rows=2, window_seconds=0.01, clock=clock
    )
    rates = [2000 / ms for ms in (10, 20, 30, 40, 50, 60)]
    assert (found.low, found.value, found.high) == pytest.approx((rates[5], (rates[2] + rates[3]) / 2, rates[0]))
    assert (found.n, found.unit, found.place) == (6, "samples/s", session.place)


def test_a_window_ends_with_the_batch_in_which_its_time_is_over(session):
    clock = Clock()  # one batch before the windows, then two of 10 ms in each
    found = offline(Timed(session, clock, 10), ROWS, batch_rows=4, window_seconds=0.011, clock=clock)
    assert found.low == found.high == pytest.approx(8 / 0.020)


class InWorker(Timed):
    """In a worker that takes 5 ms of the 10 that are seen from here."""

    process_id, baseline_mb, inference_ns = 1, 0.0, 5 * MS


def test_the_way_to_a_worker_is_in_no_number(session):
    clock = Clock()
    parts = single_stream(InWorker(session, clock, 10), ROWS, Floor(3, 0.0, 0, 0), clock=clock)
    np.testing.assert_array_equal(parts[:, 1], [5 * MS] * 3)
    clock = Clock()
    found = offline(InWorker(session, clock, 10), ROWS, batch_rows=1, window_seconds=0.01, clock=clock)
    assert found.value == pytest.approx(1 / 0.005)


def test_nothing_to_time_is_refused(session):
    with pytest.raises(InputError, match="no rows"):
        single_stream(session, ROWS[:0], FLOORS[Mode.QUICK])
    with pytest.raises(InputError, match="batches of 0 rows"):
        offline(session, ROWS, batch_rows=0, window_seconds=0.1)


def test_a_real_clock_is_sane(session):
    found = stream_of(single_stream(session, ROWS, Floor(64, 0.05, 5, 0)), session)
    assert 0 < found.latency.p50 <= found.latency.p90 <= found.latency.p99 < 1000
    assert found.p90_low <= found.latency.p90 <= found.p90_high
    assert found.latency.runs >= 64
    place: Place = session.place
    rate = offline(session, ROWS, batch_rows=8, window_seconds=0.01)
    assert 0 < rate.low <= rate.value <= rate.high
    assert rate.place == place
