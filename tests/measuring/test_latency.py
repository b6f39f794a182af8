import gc
import time
from types import SimpleNamespace

import numpy as np
import pytest

from galenic.measuring.latency import measure_latency, nearest_rank, summarise
from galenic.record.errors import InputError
from galenic.record.measurement import Place

ROWS = np.zeros((3, 2), np.float32)


class Slow:
    """A session whose inference takes at least 2 ms, and which remembers what it was given."""

    def __init__(self, session):
        self.artifact, self.place, self._session = session.artifact, session.place, session
        self.shapes, self.collecting = [], []

    def run(self, inputs):
        self.shapes.append(inputs.shape)
        self.collecting.append(gc.isenabled())
        time.sleep(0.002)
        return self._session.run(inputs)


def test_nearest_rank_by_hand():
    # of 1..10 at least 50 % are <= 5, 90 % <= 9, 99 % <= 10
    np.testing.assert_array_equal(nearest_rank(np.arange(10, 0, -1), (50, 90, 99)), [5, 9, 10])


def test_parts_are_summed_before_the_percentiles_are_taken(session):
    # wholes: 6, 6, 12 ms; the part medians are 1, 2, 3
    parts = np.array([[1, 2, 3], [3, 2, 1], [1, 2, 9]]) * 1_000_000
    latency, breakdown = summarise(parts, session)
    assert (latency.p50, latency.p90, latency.p99, latency.runs) == (6.0, 12.0, 12.0, 3)
    assert (breakdown.preprocessing, breakdown.inference, breakdown.postprocessing) == (1.0, 2.0, 3.0)


def test_every_answer_is_counted_once_warm_up_not_at_all(session):
    slow = Slow(session)
    latency, breakdown = measure_latency(slow, ROWS, runs=8, warmup=3)
    assert slow.shapes == [(1, 2)] * 11
    assert latency.runs == 8
    assert 2.0 <= breakdown.inference <= latency.p90 <= latency.p99
    assert breakdown.inference + breakdown.preprocessing <= latency.p99


def test_the_collector_is_off_meanwhile_and_on_again_afterwards(session):
    slow = Slow(session)
    measure_latency(slow, ROWS, runs=2, warmup=1)
    assert slow.collecting == [False] * 3
    assert gc.isenabled()


def test_where_and_threads_are_the_sessions(session):
    latency, _ = measure_latency(session, ROWS, runs=2, warmup=1)
    place: Place = session.place
    assert latency.where == f"{place.machine}; onnxruntime {place.versions['onnxruntime']}"
    assert latency.threads == 1


def test_where_says_the_device_and_what_its_numbers_are_not(session):
    place = session.place.model_copy(update={"device": "gpu", "caveat": "not run on a phone"})
    latency, _ = summarise(np.ones((3, 3)), SimpleNamespace(place=place))
    assert latency.where.startswith(f"{place.machine}; gpu; onnxruntime ")
    assert latency.where.endswith("; not run on a phone")
    assert latency.caveat == "not run on a phone"


def test_nothing_to_measure_is_refused(session):
    with pytest.raises(InputError, match="0 rows"):
        measure_latency(session, ROWS[:0], runs=5, warmup=1)


class InWorker(Slow):
    """A session whose file runs in another process, in 5 microseconds by the clock there."""

    process_id, baseline_mb, inference_ns = 1, 0.0, 5_000


def test_inference_in_a_worker_is_by_its_own_clock_without_the_pipe(session):
    latency, breakdown = measure_latency(InWorker(session), ROWS, runs=4, warmup=1)
    assert breakdown.inference == 0.005
    assert latency.p50 < 2.0  # which is the least that the pipe of this one takes
