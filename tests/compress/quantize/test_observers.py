import numpy as np
import pytest
from scipy.stats import entropy

from galenic.compress.quantize.observers import (
    FLOOR,
    Seen,
    clipped_divergence,
    entropy_range,
    mse_range,
    observed_range,
    percentile_range,
    without_zeros,
)
from galenic.record.quant import Observer


def test_percentile_by_hand():
    # 1000 values over ten bins of [0, 10]; 1 % on each side is 10 values: bins 0 (5) and 9 (3), 8 (7) may go
    counts = np.array([5, 100, 200, 300, 200, 100, 50, 35, 7, 3])
    assert percentile_range(counts, 0.0, 10.0, percentile=98.0) == (1.0, 8.0)


def test_percentile_of_everything_is_min_and_max():
    assert percentile_range(np.array([1, 5, 1]), -3.0, 3.0, percentile=100.0) == (-3.0, 3.0)


def test_percentile_agrees_with_numpy_to_a_bin():
    values = np.random.default_rng(0).normal(size=100_000)
    counts, edges = np.histogram(values, bins=2048)
    low, high = percentile_range(counts, edges[0], edges[-1], percentile=99.0)
    np.testing.assert_allclose([low, high], np.percentile(values, [0.5, 99.5]), atol=edges[1] - edges[0])


def test_divergence_agrees_with_scipy():
    # four bins kept of six, two levels: the level means over filled bins are (4 + 2) / 2 and 3 / 1
    counts = np.array([1, 4, 2, 0, 3, 2])
    p, q = np.array([5, 2, 0, 5]), np.array([3, 3, 0, 3])
    q = np.maximum(q / q.sum(), FLOOR)
    seen = p > 0
    expected = np.sum(p[seen] / 12 * np.log(p[seen] / 12 / q[seen]))
    assert clipped_divergence(counts, 1, 5, 2) == pytest.approx(expected)
    assert expected == pytest.approx(entropy(p[seen], q[seen]), abs=1e-6)


def test_nothing_is_clipped_where_each_level_has_one_bin():
    assert clipped_divergence(np.array([3, 1, 4, 1]), 0, 4, 4) == pytest.approx(0.0)


def test_entropy_keeps_a_uniform_range_and_cuts_a_lonely_outlier():
    assert entropy_range(np.full(2048, 50), -1.0, 3.0) == (-1.0, 3.0)
    values = np.random.default_rng(0).normal(size=100_000)
    values[0] = 60.0
    counts, edges = np.histogram(values, bins=2048)
    low, high = entropy_range(counts, edges[0], edges[-1])
    assert 2.5 < high < 30.0
    assert low < 0.0


def test_entropy_of_a_relu_starts_at_zero():
    values = np.maximum(np.random.default_rng(0).normal(size=100_000), 0)
    counts, edges = np.histogram(values, bins=2048)
    low, high = entropy_range(counts, edges[0], edges[-1])
    assert low == 0.0
    assert high > 2.5  # half of the values are 0 and must not decide


def test_entropy_of_a_constant_is_that_constant():
    assert entropy_range(np.array([5] + [0] * 2047), 0.0, 0.0) == (0.0, 0.0)


def test_zeros_count_as_much_as_their_neighbours():
    np.testing.assert_array_equal(without_zeros(np.array([90, 4, 2]), 0.0, 1.0), [4, 4, 2])
    np.testing.assert_array_equal(without_zeros(np.array([1, 3, 90, 2]), -2.5, 1.0), [1, 3, 3, 2])
    np.testing.assert_array_equal(without_zeros(np.array([9, 1]), 5.0, 1.0), [9, 1])


def test_mse_agrees_with_a_search_over_the_values_themselves():
    values = np.random.default_rng(0).laplace(size=20_000)
    counts, edges = np.histogram(values, bins=2048)
    low, high = mse_range(counts, edges[0], edges[-1], levels=16)

    def error(shrink: float) -> float:
        scale = shrink * (edges[-1] - edges[0]) / 15
        zero = np.round(-shrink * edges[0] / scale)
        rounded = (np.clip(np.round(values / scale) + zero, 0, 15) - zero) * scale
        return float(np.mean((values - rounded) ** 2))

    shrinks = np.linspace(1.0, 0.3, 71)
    best = shrinks[int(np.argmin([error(shrink) for shrink in shrinks]))]
    assert high / edges[-1] == pytest.approx(best, abs=0.011)
    assert low / edges[0] == pytest.approx(high / edges[-1])
    assert best < 0.9


def test_mse_of_values_on_a_grid_keeps_everything():
    counts = np.zeros(2048, dtype=np.int64)
    counts[[0, 2047]] = 5
    assert mse_range(counts, -1.0, 1.0) == (-1.0, 1.0)


def test_each_observer_takes_its_own_range():
    counts = np.zeros(2048, dtype=np.int64)
    counts[:1024], counts[-1] = 1000, 1
    seen = Seen(-1.0, 3.0, -0.5, 2.0, counts)
    assert observed_range(Observer.MIN_MAX, seen) == (-1.0, 3.0)
    assert observed_range(Observer.MOVING, seen) == (-0.5, 2.0)
    low, high = observed_range(Observer.PERCENTILE, seen)
    assert (low, high) == (-1.0, pytest.approx(1.0, abs=4 / 2048))
    assert observed_range(Observer.MSE, seen) == mse_range(counts, -1.0, 3.0)
    assert observed_range(Observer.ENTROPY, seen) == entropy_range(counts, -1.0, 3.0)
