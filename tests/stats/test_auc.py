from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MLstatkit import Delong_test
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from galenic.record.errors import GateError
from galenic.stats.auc import (
    auc_interval,
    binary_auc,
    macro_auc,
    multilabel_auc,
    paired_auc_interval,
    structural_components,
)
from galenic.stats.clusters import stratified_variance

Z = 1.959963984540054


def binary(seed, n=150, decimals=1):
    """Labels and two correlated scores, rounded so that ties are common."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    first = rng.normal(size=n) + positive
    return positive, np.round(first, decimals), np.round(first + rng.normal(size=n), decimals)


def brute_components(scores, member):
    """V by comparing all pairs."""
    wins = (scores[:, None] > scores[None, :]) + 0.5 * (scores[:, None] == scores[None, :])
    inside, outside = wins[:, ~member].mean(axis=1), wins[member, :].mean(axis=0)
    return np.where(member, inside, outside)


@pytest.mark.parametrize("seed", range(5))
def test_components_equal_the_comparison_of_all_pairs(seed):
    positive, scores, _ = binary(seed)
    assert structural_components(scores, positive) == pytest.approx(brute_components(scores, positive), abs=1e-14)


def test_by_hand():
    # positives 3, 2 against negatives 2, 1: pairs 1, 1, 0.5, 1 -> 3.5 / 4; V10 = 1, 0.75; V01 = 0.75, 1
    auc = binary_auc(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False]))
    assert auc.value == 0.875
    assert auc.components[:, 0].tolist() == [1, 0.75, 0.75, 1]
    # S10 = S01 = 2 * 0.125^2 = 0.03125; variance = 0.03125 / 2 + 0.03125 / 2
    assert stratified_variance(auc.influence, auc.strata) == pytest.approx(0.03125)


@pytest.mark.parametrize("seed", range(5))
def test_paired_delong_equals_mlstatkit(seed):
    positive, first, second = binary(seed)
    z, _, ci_first, ci_second, auc_first, auc_second, info = Delong_test(positive, first, second)
    ours = [binary_auc(scores, positive) for scores in (first, second)]
    assert [auc.value for auc in ours] == pytest.approx([auc_first, auc_second], abs=1e-12)
    assert stratified_variance(ours[0].influence - ours[1].influence, ours[0].strata) == pytest.approx(
        info["var_diff"], abs=1e-12
    )
    difference = paired_auc_interval(*ours)
    half = Z * (auc_second - auc_first) / z
    assert (difference.low, difference.high) == pytest.approx(
        (auc_first - auc_second - half, auc_first - auc_second + half), abs=1e-12
    )
    for auc, (low, high) in zip(ours, (ci_first, ci_second), strict=True):
        assert Z * np.sqrt(stratified_variance(auc.influence, auc.strata)) == pytest.approx((high - low) / 2, abs=1e-12)


def test_the_single_interval_is_delong_on_the_logit_scale():
    positive, scores, other = binary(0)
    *_, ci, _, value, _, _ = Delong_test(positive, scores, other)
    half = (ci[1] - ci[0]) / 2 / (value * (1 - value))
    ours = auc_interval(binary_auc(scores, positive))
    assert (ours.low, ours.high) == pytest.approx((expit(logit(value) - half), expit(logit(value) + half)), abs=1e-12)


def multi_class(seed, n=240, classes=4):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes * (rng.random(n) < 0.8))
    return labels, np.round(rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[labels], 1)


def test_macro_auc_equals_scikit_learn():
    labels, scores = multi_class(0)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = roc_auc_score(labels, shares, multi_class="ovr", average="macro")
    assert macro_auc(shares, labels).value == pytest.approx(expected, abs=1e-12)


def test_macro_variance_equals_the_formula_on_all_pairs():
    labels, scores = multi_class(1)
    n, k = scores.shape
    v = np.stack([brute_components(scores[:, c], labels == c) for c in range(k)], axis=1)
    counts = np.bincount(labels)
    variance = 0.0
    for c in range(k):
        h = [
            (v[i, c] + sum(v[i, j] * counts[c] / (n - counts[j]) for j in range(k) if j != c)) / k
            for i in np.flatnonzero(labels == c)
        ]
        variance += np.var(h, ddof=1) / counts[c]
    auc = macro_auc(scores, labels)
    assert stratified_variance(auc.influence, auc.strata) == pytest.approx(variance, abs=1e-12)


def test_two_classes_one_vs_rest_are_the_binary_auc():
    positive, scores, _ = binary(3)
    both, one = macro_auc(np.stack([-scores, scores], axis=1), positive.astype(int)), binary_auc(scores, positive)
    assert both.value == pytest.approx(one.value, abs=1e-12)
    assert both.influence == pytest.approx(one.influence, abs=1e-14)


def test_multi_label_is_the_mean_over_labels():
    rng = np.random.default_rng(4)
    labels = (rng.random((300, 3)) < [0.2, 0.5, 0.7]).astype(np.uint8)
    scores = rng.normal(size=(300, 3)) + labels
    auc = multilabel_auc(scores, labels)
    assert auc.value == pytest.approx(roc_auc_score(labels, scores, average="macro"), abs=1e-12)
    assert auc.influence.sum() == pytest.approx(0, abs=1e-12)
    single, delong = multilabel_auc(scores[:, :1], labels[:, :1]), binary_auc(scores[:, 0], labels[:, 0])
    assert stratified_variance(single.influence, single.strata) == pytest.approx(
        stratified_variance(delong.influence, delong.strata), rel=0.02
    )


@pytest.mark.parametrize("kind", ["macro", "multilabel"])
def test_the_variance_is_that_of_repeated_samples(kind):
    values, variances = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        if kind == "macro":
            labels = np.repeat([0, 1, 2], [60, 30, 20])
            auc = macro_auc(rng.normal(size=(110, 3)) + np.eye(3)[labels], labels)
        else:
            members = rng.random((110, 3)) < [0.2, 0.4, 0.6]
            auc = multilabel_auc(rng.normal(size=(110, 3)) + rng.normal(size=(110, 1)) + members, members)
        values.append(auc.value)
        variances.append(stratified_variance(auc.influence, auc.strata))
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_order_of_rows_and_swap_of_models(seed):
    positive, first, second = binary(seed, n=60)
    ours, theirs = binary_auc(first, positive), binary_auc(second, positive)
    there, back = paired_auc_interval(ours, theirs), paired_auc_interval(theirs, ours)
    assert (there.low, there.value, there.high) == pytest.approx((-back.high, -back.value, -back.low), abs=1e-12)
    order = np.random.default_rng(seed).permutation(60)
    shuffled = [binary_auc(scores[order], positive[order]) for scores in (first, second)]
    again = paired_auc_interval(*shuffled)
    assert (again.low, again.high) == pytest.approx((there.low, there.high), abs=1e-12)
    mirrored = auc_interval(binary_auc(-first, positive))
    alone = auc_interval(ours)
    assert (alone.low, alone.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)
    assert 0 <= alone.low <= alone.value <= alone.high <= 1


def test_perfect_separation_has_the_exact_bound_of_disjoint_pairs():
    positive = np.arange(100) >= 60
    ours = auc_interval(binary_auc(np.arange(100.0), positive))
    assert (ours.value, ours.high) == (1, 1)
    assert ours.low == pytest.approx(0.025 ** (1 / 40))
    worst = auc_interval(binary_auc(-np.arange(100.0), positive))
    assert (worst.low, worst.high) == pytest.approx((0, 1 - 0.025 ** (1 / 40)))


def test_one_misplaced_case_does_not_say_more_than_none():
    positive = np.arange(100) >= 60
    scores = np.arange(100.0)
    scores[[59, 60]] = scores[[60, 59]]
    assert auc_interval(binary_auc(scores, positive)).low <= 0.025 ** (1 / 40)


def test_a_constant_score_is_not_of_zero_width():
    ours = auc_interval(binary_auc(np.zeros(30), np.arange(30) < 10))
    wide = 1 - 0.025 ** (1 / 10)
    assert (ours.low, ours.value, ours.high) == pytest.approx((0.5 - wide, 0.5, 0.5 + wide))


def test_a_class_of_one_case_says_nothing():
    ours = auc_interval(binary_auc(np.array([0.3, 0.1, 0.2, 0.4]), np.array([True, False, False, False])))
    assert (ours.low, ours.high) == pytest.approx((0, 1), abs=0.7)
    assert ours.low == 0


def test_the_same_order_of_cases_differs_by_exactly_nothing():
    positive, first, _ = binary(5)
    ours = paired_auc_interval(binary_auc(first, positive), binary_auc(2 * first + 1, positive))
    assert (ours.low, ours.value, ours.high) == (0, 0, 0)


def test_equal_components_differ_by_nothing_unless_they_are_blind():
    positive = np.array([True] * 20 + [False] * 20)
    overlapping = np.concatenate([np.arange(20.0) + 10.5, np.arange(20.0)])
    swapped = overlapping.copy()
    swapped[[18, 19]] = overlapping[[19, 18]]  # two positives above every negative change places
    same = paired_auc_interval(binary_auc(overlapping, positive), binary_auc(swapped, positive))
    assert (same.low, same.high) == (0, 0)
    perfect, other = np.arange(40.0)[::-1].copy(), np.arange(40.0)[::-1].copy()
    other[[0, 1]] = perfect[[1, 0]]
    blind = paired_auc_interval(binary_auc(perfect, positive), binary_auc(other, positive))
    wide = 1 - 0.025 ** (1 / 20)
    assert (blind.low, blind.value, blind.high) == pytest.approx((-wide, 0, wide))


def test_repeating_cases_in_clusters_adds_no_certainty():
    positive, first, second = binary(6)
    pairs = [binary_auc(scores, positive) for scores in (first, second)]
    clusters = np.repeat(np.arange(150), 3)
    tripled = [binary_auc(np.repeat(scores, 3), np.repeat(positive, 3)) for scores in (first, second)]
    once, thrice = paired_auc_interval(*pairs), paired_auc_interval(*tripled, clusters)
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.02)
    alone, clustered = auc_interval(pairs[0]), auc_interval(tripled[0], clusters)
    assert clustered.high - clustered.low == pytest.approx(alone.high - alone.low, rel=0.02)
    assert (thrice.clusters, clustered.clusters) == (150, 150)


def test_one_cluster_says_nothing():
    positive, scores, _ = binary(7)
    ours = auc_interval(binary_auc(scores, positive), np.zeros(150))
    assert (ours.low, ours.high) == (0, 1)


def test_one_class_only_is_refused():
    with pytest.raises(GateError, match="0 cases in it"):
        binary_auc(np.arange(5.0), np.zeros(5, dtype=bool))


def test_two_hundred_thousand_cases_within_a_second():
    positive, first, second = binary(0, n=200_000, decimals=6)
    seconds = []
    for _ in range(3):  # the best of three, since other tests share the machine
        start = perf_counter()
        paired_auc_interval(binary_auc(first, positive), binary_auc(second, positive))
        seconds.append(perf_counter() - start)
    assert min(seconds) < 1.0


def test_perfect_separation_in_clusters_counts_pairs_of_clusters():
    clusters = np.repeat(np.arange(30), 4)  # each patient has two positive and two negative cases: 15 disjoint pairs
    positive = np.tile([True, True, False, False], 30)
    ours = auc_interval(binary_auc(np.where(positive, 1.0, 0.0), positive), clusters)
    assert (ours.low, ours.high) == pytest.approx((0.025 ** (1 / 15), 1))
