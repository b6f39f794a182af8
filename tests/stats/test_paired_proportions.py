from math import log, sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial

from galenic.stats.paired_proportions import PairedCounts, count_pairs, newcombe, paired_mean_interval, tango

Z = 1.959963984540054
COUNTS = st.tuples(*[st.integers(0, 60)] * 4).filter(any).map(lambda cells: PairedCounts(*cells))


def score(counts: PairedCounts, difference: float) -> float:
    """Tango's statistic, with the nuisance found by maximising the likelihood numerically."""
    n, b, c = counts.n, counts.only_first, counts.only_second
    low, high = max(0.0, -difference), (1 - difference) / 2

    def loss(q: float) -> float:
        cells = ((b, q + difference), (c, q), (n - b - c, 1 - 2 * q - difference))
        return -sum(k * log(max(p, 1e-300)) for k, p in cells if k)

    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (b - c - n * difference) / sqrt(n * (2 * q + difference * (1 - difference)))


def test_check_values():
    counts = PairedCounts(1, 1, 7, 12)
    assert (tango(counts).low, tango(counts).high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert (newcombe(counts).low, newcombe(counts).high) == pytest.approx((-0.507, -0.026), abs=5e-4)
    assert tango(counts).value == pytest.approx(-6 / 21)


@pytest.mark.parametrize("cells", [(1, 1, 7, 12), (40, 3, 2, 5), (400, 9, 21, 70), (0, 5, 0, 3), (30, 0, 1, 0)])
def test_the_score_at_both_bounds_is_z(cells):
    counts = PairedCounts(*cells)
    ours = tango(counts)
    assert score(counts, ours.low) == pytest.approx(Z, abs=2e-3)
    assert score(counts, ours.high) == pytest.approx(-Z, abs=2e-3)


def test_edges_are_exact():
    unchanged = tango(PairedCounts(30, 0, 0, 20))
    assert (unchanged.low, unchanged.high) == pytest.approx((-(Z**2) / (50 + Z**2), Z**2 / (50 + Z**2)))
    every = tango(PairedCounts(0, 8, 0, 0))
    assert (every.low, every.high) == pytest.approx(((8 - Z**2) / (8 + Z**2), 1))
    none = tango(PairedCounts(0, 0, 8, 0))
    assert (none.low, none.high) == pytest.approx((-1, -(8 - Z**2) / (8 + Z**2)))


def test_large_counts_approach_the_plain_interval():
    counts = PairedCounts(150_000, 3_000, 2_000, 45_000)
    error = sqrt(5_000 - 1_000**2 / 200_000) / 200_000
    assert (tango(counts).low, tango(counts).high) == pytest.approx((0.005 - Z * error, 0.005 + Z * error), abs=2e-5)


@given(COUNTS)
def test_swapping_the_two_mirrors_the_interval(counts):
    swapped = PairedCounts(counts.both, counts.only_second, counts.only_first, counts.neither)
    for method in (tango, newcombe):
        ours, mirrored = method(counts), method(swapped)
        assert (ours.low, ours.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)
        assert -1 <= ours.low <= ours.value + 1e-12
        assert ours.value - 1e-12 <= ours.high <= 1


@given(COUNTS)
def test_one_more_loss_never_raises_tangos_lower_bound(counts):
    assume(counts.only_first > 0)
    worse = PairedCounts(counts.both, counts.only_first - 1, counts.only_second + 1, counts.neither)
    assert tango(worse).low <= tango(counts).low + 1e-9


@pytest.mark.parametrize(("n", "least", "most"), [(50, 0.05, 0.25), (500, 0.99, 1.0)])
def test_power_of_a_five_point_margin_with_four_percent_flips(n, least, most):
    """ANCHORS: an unchanged model with 4 % flips seldom passes (at most 24 %) with 50 positives, always with 500."""
    chance = sum(
        multinomial.pmf([b, c, n - b - c], n, [0.02, 0.02, 0.96])
        for b in range(min(n, 26))
        for c in range(min(n, 26))
        if b + c <= n and tango(PairedCounts(n - b - c, b, c, 0)).low > -0.05
    )
    assert least < chance <= most


def test_a_model_at_the_margin_passes_at_most_about_alpha():
    """True loss 5 points, 200 cases, 9 % and 4 % flips: the exact chance that the lower bound is above -0.05."""
    chance = sum(
        multinomial.pmf([b, c, 200 - b - c], 200, [0.04, 0.09, 0.87])
        for b in range(40)
        for c in range(60)
        if tango(PairedCounts(200 - b - c, b, c, 0)).low > -0.05
    )
    assert 0.01 < chance < 0.03


def test_counting():
    first, second = np.array([1, 1, 1, 0, 0, 1]), np.array([1, 0, 0, 1, 0, 1])
    assert count_pairs(first, second) == (2, 2, 1, 1)


def test_paired_mean_of_independent_zeros_and_ones_is_tango():
    first, second = np.array([1, 1, 1, 0, 0, 1.0]), np.array([1, 0, 0, 1, 0, 1.0])
    assert paired_mean_interval(first, second) == tango(PairedCounts(2, 2, 1, 1))


def test_paired_mean_of_shares_is_the_mean_of_differences():
    first, second = np.array([1.0, 0.5, 0.5, 1.0]), np.array([0.5, 0.5, 0.25, 0.75])  # 0.5 0 0.25 0.25; s^2 = 0.125 / 3
    ours = paired_mean_interval(first, second)
    assert (ours.low, ours.high) == pytest.approx((0.25 - Z * sqrt(0.125 / 12), 0.25 + Z * sqrt(0.125 / 12)))


def test_clusters_that_never_differ_are_counted_as_clusters():
    same = np.ones(100)
    ours = paired_mean_interval(same, same, np.repeat(np.arange(25), 4))
    t = 2.0638985616280205
    assert (ours.low, ours.high) == pytest.approx((-(t**2) / (25 + t**2), t**2 / (25 + t**2)))
    alone = paired_mean_interval(same, same, np.zeros(100))
    assert (alone.low, alone.high) == (-1, 1)


def test_repeating_cases_in_clusters_adds_no_certainty():
    rng = np.random.default_rng(0)
    first, second = (rng.random(60) < 0.8).astype(float), (rng.random(60) < 0.7).astype(float)
    clustered = paired_mean_interval(np.repeat(first, 5), np.repeat(second, 5), np.repeat(np.arange(60), 5))
    gap = first - second
    half = 2.0009953780882674 * gap.std(ddof=1) / sqrt(60)  # t with 59 degrees of freedom
    assert (clustered.low, clustered.high) == pytest.approx((gap.mean() - half, gap.mean() + half))
