import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    mean_absolute_error,
    recall_score,
    roc_auc_score,
)
from statsmodels.stats.proportion import proportion_confint

from galenic.gating.metrics import confusion, metrics
from galenic.record.errors import GateError
from galenic.record.task import TaskKind


def sample(classes, n=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return labels, (rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]).astype(np.float32)


def test_binary_equals_scikit_learn_and_statsmodels(make):
    labels, logits = sample(2)
    predictions = make(labels, logits)
    found, decided = metrics(predictions), predictions.decisions()
    assert set(found) == {"accuracy", "auc", "sensitivity", "specificity", "balanced_accuracy"}
    assert found["accuracy"].value == pytest.approx(accuracy_score(labels, decided))
    assert found["auc"].value == pytest.approx(roc_auc_score(labels, predictions.probabilities()[:, 1]), abs=1e-12)
    assert found["sensitivity"].value == pytest.approx(recall_score(labels, decided))
    assert found["specificity"].value == pytest.approx(recall_score(labels, decided, pos_label=0))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(labels, decided))
    positives = int(labels.sum())
    assert (found["sensitivity"].n, found["specificity"].n, found["auc"].n) == (positives, 200 - positives, 200)
    hits = int(np.sum(decided[labels == 1]))
    assert (found["sensitivity"].low, found["sensitivity"].high) == pytest.approx(
        proportion_confint(hits, positives, method="wilson")
    )
    for metric in found.values():
        assert 0 <= metric.low < metric.value < metric.high <= 1


def test_the_auc_does_not_saturate_where_probabilities_do(make):
    labels = np.array([0] * 20 + [1] * 20)
    score = np.concatenate([np.arange(20), np.arange(20) + 100.0]) + 50
    score[[19, 20]] = score[[20, 19]]  # all probabilities are 1.0, and one pair is out of order
    found = metrics(make(labels, np.stack([np.zeros(40), score], axis=1)))
    assert found["auc"].value == pytest.approx(1 - 1 / 400)


def test_positive_class_zero_is_scored_as_such(make):
    labels, logits = sample(2)
    found, mirrored = metrics(make(labels, logits, positive=(0,))), metrics(make(labels, logits))
    assert found["auc"].value == pytest.approx(mirrored["auc"].value, abs=1e-12)
    assert found["sensitivity"] == mirrored["specificity"]


def test_several_classes_equal_scikit_learn(make):
    labels, logits = sample(4)
    predictions = make(labels, logits, positive=(1, 2))
    found, shares = metrics(predictions), predictions.probabilities()
    assert found["auc"].value == pytest.approx(roc_auc_score(labels, shares, multi_class="ovr"), abs=1e-12)
    disease = np.isin(labels, (1, 2))
    assert found["auc_positive"].value == pytest.approx(roc_auc_score(disease, shares[:, 1] + shares[:, 2]), abs=1e-12)
    called = np.isin(predictions.decisions(), (1, 2))
    assert found["sensitivity"].value == pytest.approx(recall_score(disease, called))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(labels, predictions.decisions()))


def test_balanced_accuracy_by_hand(make):
    labels = np.array([0] * 10 + [1] * 40)
    right = np.array([1] * 8 + [0] * 2 + [1] * 20 + [0] * 20)  # recalls 0.8 and 0.5
    logits = np.eye(2)[np.where(right, labels, 1 - labels)]
    found = metrics(make(labels, logits))["balanced_accuracy"]
    variance = (0.8 * 0.2 / 9 + 0.5 * 0.5 / 39) / 4
    effective = 0.65 * 0.35 / variance
    expected = proportion_confint(0.65 * effective, effective, method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((0.65, *expected))


def test_without_positive_classes_there_is_no_sensitivity(make):
    labels, logits = sample(3)
    assert set(metrics(make(labels, logits, positive=()))) == {"accuracy", "auc", "balanced_accuracy"}


def test_ordinal_has_kappa_and_error_in_grades(make):
    labels, logits = sample(4, seed=1)
    predictions = make(labels, logits, kind=TaskKind.ORDINAL, positive=(2, 3))
    found, decided = metrics(predictions), predictions.decisions()
    kappa, error = found["quadratic_kappa"], found["mean_absolute_error"]
    assert kappa.value == pytest.approx(cohen_kappa_score(labels, decided, weights="quadratic"))
    assert error.value == pytest.approx(mean_absolute_error(labels, decided))
    assert kappa.low < kappa.value < kappa.high
    gaps = np.abs(labels - decided)
    half = 1.96 * gaps.std(ddof=1) / np.sqrt(200)
    assert (error.low, error.high) == pytest.approx((error.value - half, error.value + half), abs=0.02)


def test_multi_label_is_the_mean_over_labels(make):
    rng = np.random.default_rng(2)
    labels = (rng.random((150, 3)) < 0.4).astype(np.uint8)
    logits = rng.normal(size=(150, 3)) + 2 * labels - 1
    found = metrics(make(labels, logits, kind=TaskKind.MULTI_LABEL))
    assert set(found) == {"accuracy", "auc"}
    each = [accuracy_score(labels[:, k], logits[:, k] > 0) for k in range(3)]
    assert found["accuracy"].value == pytest.approx(np.mean(each))
    assert found["auc"].value == pytest.approx(roc_auc_score(labels, logits, average="macro"), abs=1e-12)
    assert found["accuracy"].n == 150


def test_clusters_widen_every_interval(make):
    rng = np.random.default_rng(3)
    labels, logits = sample(4, n=60, seed=3)
    kind = {"kind": TaskKind.ORDINAL, "positive": (2, 3)}
    clusters = np.repeat([f"patient-{i}" for i in range(60)], 4)
    repeated = make(np.repeat(labels, 4), np.repeat(logits, 4, axis=0), **kind)
    clustered = make(repeated.labels, repeated.logits, clusters=clusters, **kind)
    order = rng.permutation(240)
    alone, grouped = metrics(repeated), metrics(clustered)
    assert set(alone) == set(grouped)
    for name, metric in grouped.items():
        assert metric.high - metric.low > 1.5 * (alone[name].high - alone[name].low), name
    shuffled = metrics(make(repeated.labels[order], repeated.logits[order], clusters=clusters[order], **kind))
    for name, metric in shuffled.items():
        assert (metric.low, metric.high) == pytest.approx((grouped[name].low, grouped[name].high), abs=1e-12)


def test_one_class_only_and_nan_are_refused(make):
    with pytest.raises(GateError, match="no contrast"):
        metrics(make(np.zeros(9, dtype=np.int64), np.zeros((9, 2))))
    with pytest.raises(GateError, match="NaN or Inf"):
        metrics(make(np.array([0, 1]), np.array([[0, 1], [np.nan, 0]])))


def test_confusion_equals_scikit_learn(make):
    labels, logits = sample(4)
    predictions = make(labels.astype(np.uint8), logits)
    found = confusion(predictions)
    assert found is not None
    assert np.array_equal(found.counts, confusion_matrix(labels, predictions.decisions()))
    assert found.split == "test"


def test_confusion_has_a_row_for_every_class_and_none_for_multi_label(make):
    found = confusion(make(np.array([0, 0]), np.array([[1, 0, 0], [0, 0, 1.0]])))
    assert found is not None
    assert found.counts == ((1, 0, 1), (0, 0, 0), (0, 0, 0))
    assert confusion(make(np.array([[0, 1]], dtype=np.uint8), np.zeros((1, 2)), kind=TaskKind.MULTI_LABEL)) is None


def test_balanced_accuracy_of_only_right_answers_rests_on_the_rarest_class(make):
    labels = np.array([0] * 90 + [1] * 12)
    found = metrics(make(labels, np.eye(2)[labels]))["balanced_accuracy"]
    assert (found.low, found.high) == pytest.approx((12 / (12 + 1.959964**2), 1), abs=1e-6)
    clusters = np.concatenate([np.repeat(np.arange(30), 3), np.repeat(np.arange(30, 36), 2)])
    grouped = metrics(make(labels, np.eye(2)[labels], clusters=clusters))["balanced_accuracy"]
    assert grouped.low == pytest.approx(6 / (6 + 2.030108**2), abs=1e-6)  # t with 35 degrees of freedom
