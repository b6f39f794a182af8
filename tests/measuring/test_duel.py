"""Two files timed in turn: the ratio of what they really take, and an interval with the coverage that it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from galenic.measuring.duel import duel, median_interval
from galenic.record.artifact import Artifact
from galenic.record.errors import InputError
from galenic.record.measurement import Place
from galenic.record.preprocessing import Modality, Preprocessing


@dataclass
class Sleeper:
    """A session in a worker that says what it took, so that the test does not depend on what else runs."""

    seconds: float
    artifact: Artifact
    threads: int = 1
    process_id: int = 0
    baseline_mb: float = 0.0

    @property
    def inference_ns(self) -> int:
        return int(self.seconds * 1e9)

    @property
    def place(self) -> Place:
        return Place(machine="here", runtime="none", threads=self.threads)

    def run(self, inputs: np.ndarray) -> np.ndarray:
        return np.zeros((len(inputs), 2), np.float32)


@pytest.fixture
def artifact(tmp_path) -> Artifact:
    preprocessing = Preprocessing(modality=Modality.TABLE, raw_shape=(2,), scale=1.0, mean=(0.0, 0.0), std=(1.0, 1.0))
    return Artifact(
        path=tmp_path / "none",
        runtime="none",
        precision="float32",
        sha256="0" * 64,
        size_bytes=1,
        lineage=(),
        preprocessing=preprocessing,
        classes=("a", "b"),
    )


def test_a_file_that_takes_a_third_of_the_time_is_three_times_faster(artifact) -> None:
    rows = np.zeros((3, 2), np.float32)
    found = duel(Sleeper(3.0, artifact), Sleeper(1.0, artifact), rows, rounds=9, answers=3)
    assert found.value == pytest.approx(3.0, abs=0.01)
    assert found.low <= found.value <= found.high
    assert found.rounds == 9


def test_other_threads_and_too_few_rounds_are_refused(artifact) -> None:
    rows = np.zeros((3, 2), np.float32)
    with pytest.raises(InputError, match="1 and 2 threads"):
        duel(Sleeper(0, artifact), Sleeper(0, artifact, threads=2), rows)
    with pytest.raises(InputError, match="at least 6 rounds"):
        duel(Sleeper(0, artifact), Sleeper(0, artifact), rows, rounds=5)


@pytest.mark.parametrize("n", [6, 9, 25, 100])
def test_the_interval_is_the_shortest_of_the_sign_test(n: int) -> None:
    low, high = median_interval([float(value) for value in range(1, n + 1)])
    k = int(low)
    assert high == n + 1 - k
    assert 1 - 2 * binom.cdf(k - 1, n, 0.5) >= 0.95 > 1 - 2 * binom.cdf(k, n, 0.5)
