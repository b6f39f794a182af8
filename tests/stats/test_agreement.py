import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from galenic.stats.agreement import quadratic_kappa


@pytest.fixture
def ratings():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 300)
    return truth, np.clip(truth + rng.integers(-1, 2, 300), 0, 4)


def test_equals_scikit_learn_and_the_variance_of_statsmodels(ratings):
    truth, rating = ratings
    table = np.zeros((5, 5))
    np.add.at(table, (truth, rating), 1)
    oracle, ours = cohens_kappa(table, wt="quadratic"), quadratic_kappa(truth, rating, 5)
    assert ours.value == pytest.approx(cohen_kappa_score(truth, rating, weights="quadratic"), abs=1e-12)
    half = 1.959963984540054 * oracle.std_kappa * np.sqrt(300 / 299)
    assert (ours.low, ours.high) == pytest.approx((ours.value - half, ours.value + half), abs=1e-12)


def test_perfect_agreement_is_not_of_zero_width():
    truth = np.repeat([0, 1, 2], 20)
    ours = quadratic_kappa(truth, truth, 3)
    chance = sum((i - j) ** 2 / 4 / 9 for i in range(3) for j in range(3))
    assert ours.value == 1 == ours.high
    assert ours.low == pytest.approx(1 - (1 - 0.025 ** (1 / 60)) / chance)


def test_clusters_of_repeated_cases_count_once(ratings):
    truth, rating = ratings
    once = quadratic_kappa(truth, rating, 5)
    four = quadratic_kappa(np.repeat(truth, 4), np.repeat(rating, 4), 5, np.repeat(np.arange(300), 4))
    assert four.high - four.low == pytest.approx(once.high - once.low, rel=0.01)
    assert four.clusters == 300
