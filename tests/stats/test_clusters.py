import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from galenic.stats.clusters import cluster_variance, dependent, spread, stratified_variance


def test_one_stratum_is_the_textbook_variance_of_a_mean():
    values = np.array([1.0, 2.0, 4.0, 9.0])  # mean 4, squares 9 + 4 + 0 + 25 = 38; 38 / 3 / 4
    assert stratified_variance((values - 4) / 4, np.zeros(4)) == pytest.approx(38 / 12)


def test_strata_add_up():
    a, b = np.array([1.0, 3.0]), np.array([0.0, 0.0, 3.0])  # s^2 = 2 and 3
    influence = np.concatenate([(a - 2) / 2, (b - 1) / 3])
    assert stratified_variance(influence, np.array([0, 0, 1, 1, 1])) == pytest.approx(2 / 2 + 3 / 3)


def test_a_stratum_of_one_case_has_no_variance():
    assert np.isnan(stratified_variance(np.array([0.1, -0.1, 0.0]), np.array([0, 0, 1])))
    assert np.isnan(cluster_variance(np.array([0.1, -0.1]), np.array(["a", "a"])))


def test_cluster_variance_equals_the_sandwich_of_statsmodels():
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, 30, 200)
    values = rng.normal(size=200) + rng.normal(size=30)[clusters]
    fit = sm.OLS(values, np.ones((200, 1))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    ours = cluster_variance((values - values.mean()) / 200, clusters)
    assert ours == pytest.approx(float(fit.bse[0]) ** 2, rel=1e-12)


def test_repeating_every_case_within_its_cluster_adds_nothing():
    values = np.random.default_rng(2).normal(size=40)
    influence = (values - values.mean()) / 40
    twice = np.repeat(influence / 2, 2)
    assert cluster_variance(twice, np.repeat(np.arange(40), 2)) == pytest.approx(
        stratified_variance(influence, np.zeros(40))
    )


def test_spread_takes_students_t_for_clusters_and_the_normal_otherwise():
    influence, clusters = np.array([0.1, -0.2, 0.3, -0.2]), np.array(["a", "b", "c", "c"])
    assert spread(influence, np.zeros(4), None, 0.025).quantile == pytest.approx(stats.norm.ppf(0.975))
    clustered = spread(influence, np.zeros(4), clusters, 0.025)
    assert (clustered.quantile, clustered.clusters) == (pytest.approx(stats.t.ppf(0.975, 2)), 3)
    alone = spread(influence, np.zeros(4), np.zeros(4), 0.025)
    assert not alone.known
    assert np.isnan(alone.quantile)


def test_clusters_of_one_case_each_are_no_clusters():
    assert dependent(np.array(["a", "b", "c"])) is None
    assert dependent(None) is None
    assert dependent(np.array(["a", "b", "a"])) is not None
