import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from galenic.stats.clusters import Spread
from galenic.stats.proportions import effective_bounds, mean_interval, score_bounds, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (1, 7), (7, 7), (81, 263), (15, 148), (199_999, 200_000)])
@pytest.mark.parametrize("alpha", [0.005, 0.025, 0.05])
def test_wilson_equals_statsmodels(successes, n, alpha):
    ours = wilson(successes, n, alpha)
    assert (ours.low, ours.high) == pytest.approx(proportion_confint(successes, n, 2 * alpha, "wilson"), abs=1e-12)
    assert (ours.value, ours.n) == (successes / n, n)


def test_wilson_on_newcombes_published_example():
    # Newcombe 1998, table I: 81 of 263 -> 0.2553 to 0.3662; 15 of 148 -> 0.0624 to 0.1605
    assert (wilson(81, 263).low, wilson(81, 263).high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (wilson(15, 148).low, wilson(15, 148).high) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_the_edges_are_exact_and_never_of_zero_width():
    assert wilson(0, 10).low == 0
    assert wilson(10, 10).high == 1
    assert wilson(10, 10).low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)


def test_no_cases_is_refused():
    with pytest.raises(ValueError, match="0 successes of 0"):
        wilson(0, 0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_successes_and_failures_mirror_each_other(case):
    successes, n = case
    ours, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert (ours.low, ours.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_mean_of_zeros_and_ones_is_wilson():
    values = np.array([1, 0, 1, 1, 0, 1, 1, 1], dtype=float)
    assert mean_interval(values) == wilson(6, 8)


def test_mean_of_shares_uses_their_own_variance():
    values = np.array([0.5, 0.75, 1.0, 0.75])  # mean 0.75, s^2 / n = (0.0625 * 2 / 3) / 4
    effective = 0.75 * 0.25 / (0.125 / 12)
    ours = mean_interval(values)
    assert (ours.low, ours.high) == pytest.approx(score_bounds(0.75, effective, 1.959963984540054))


def test_clusters_widen_and_repeated_cases_count_once():
    hits = np.tile([1.0, 1.0, 0.0, 1.0, 1.0], 20)
    clusters = np.repeat(np.arange(100), 4)
    alone, clustered = mean_interval(hits), mean_interval(np.repeat(hits, 4), clusters)
    assert clustered.clusters == 100
    assert clustered.high - clustered.low >= alone.high - alone.low
    assert clustered.high - clustered.low == pytest.approx(
        alone.high - alone.low, rel=0.03
    )  # t_99 and n - 1 for z and n


def test_nothing_but_right_answers_counts_clusters_not_cases():
    ours = mean_interval(np.ones(200), np.repeat(np.arange(25), 8))
    assert ours.high == 1
    assert ours.low == pytest.approx(25 / (25 + 2.063899**2), abs=1e-6)  # t with 24 degrees of freedom


def test_one_cluster_says_nothing():
    ours = mean_interval(np.array([1.0, 0.0, 1.0]), np.array(["a", "a", "a"]))
    assert (ours.low, ours.high) == (0, 1)
    assert effective_bounds(0.5, Spread(float("nan"), 2.0, None), 1, 3) == (0, 1)


def test_clusters_that_balance_are_never_worth_more_than_their_cases():
    ours = mean_interval(np.tile([1.0, 0.0], 30), np.repeat(np.arange(30), 2))  # no variance between clusters at all
    assert (ours.low, ours.high) == pytest.approx(score_bounds(0.5, 30, 2.045230))  # t with 29 degrees of freedom
    nearly = np.tile([1.0, 0.0], 30)
    nearly[0] = 0.0  # now a variance of (1 / 60)^2 or so, which would be worth hundreds of cases
    ours = mean_interval(nearly, np.repeat(np.arange(30), 2))
    assert (ours.low, ours.high) == pytest.approx(score_bounds(29 / 60, 60, 2.045230), abs=1e-6)
