from dataclasses import replace

import numpy as np
import pytest

from galenic.gating.checks import check_contrast, check_pair, check_predictions
from galenic.record.errors import ExitCode, GateError
from galenic.record.task import SplitName, TaskKind


def with_logit(predictions, row, value):
    logits = predictions.logits.copy()
    logits[row, 0] = value
    return replace(predictions, logits=logits)


def test_sound_predictions_are_accepted(pair):
    check_pair(*pair(60))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_nan_and_inf_name_the_row_and_the_case(pair, value, which):
    both = list(pair(60))
    both[which] = with_logit(both[which], 7, value)
    with pytest.raises(GateError, match=r"first in row 7 \(case case-7, test split\)") as caught:
        check_pair(*both)
    assert caught.value.exit_code is ExitCode.USAGE


def test_shuffled_ids_name_the_first_row_that_differs(pair):
    artifact, reference = pair(60)
    ids = artifact.ids.copy()
    ids[[4, 9]] = ids[[9, 4]]
    with pytest.raises(GateError, match=r"row 4 is case-9 \(artifact\) and case-4 \(reference\)"):
        check_pair(replace(artifact, ids=ids), reference)


def test_other_cases_are_named(pair):
    artifact, reference = pair(60)
    ids = artifact.ids.copy()
    ids[3] = "another"
    with pytest.raises(GateError, match="2 cases that only one of the two has, such as another"):
        check_pair(replace(artifact, ids=ids), reference)


def test_fewer_cases_are_refused(pair):
    artifact, reference = pair(60)
    fewer = replace(artifact, ids=artifact.ids[:50], labels=artifact.labels[:50], logits=artifact.logits[:50])
    with pytest.raises(GateError, match="10 cases that only one"):
        check_pair(fewer, reference)


def test_a_repeated_id_is_refused(pair):
    artifact, _ = pair(60)
    ids = artifact.ids.copy()
    ids[8] = ids[2]
    with pytest.raises(GateError, match="name case case-2 2 times, first in row 2"):
        check_predictions(replace(artifact, ids=ids))


def test_labels_that_differ_name_the_row(pair):
    artifact, reference = pair(60)
    labels = artifact.labels.copy()
    labels[5] = 0
    with pytest.raises(GateError, match=r"first in row 5 \(case case-5\): 0 \(artifact\) and 1 \(reference\)"):
        check_pair(replace(artifact, labels=labels), reference)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split_hash": "6" * 64}, "split hashes 666666666666"),
        ({"classes": ("malignant", "benign")}, "classes"),
        ({"positive": (0,)}, "positive"),
        ({"kind": TaskKind.ORDINAL}, "kind"),
        ({"clusters": np.array(["a", "b"] * 30)}, "clusters that differ"),
        ({"split": SplitName.TRAIN}, "of the train split"),
        ({"split": SplitName.VALIDATION}, "of the validation split"),
    ],
)
def test_two_that_are_not_about_the_same_thing(pair, change, message):
    artifact, reference = pair(60)
    with pytest.raises(GateError, match=message):
        check_pair(replace(artifact, **change), reference)


def test_both_of_the_training_split_are_refused(pair):
    with pytest.raises(GateError, match="artifact's predictions are of the train split"):
        check_pair(*pair(60, split=SplitName.TRAIN))


def test_one_class_only_names_the_class(make):
    predictions = make(np.ones(20, dtype=np.int64), np.zeros((20, 2)))
    check_predictions(predictions)
    with pytest.raises(GateError, match=r"benign \(0 of 20\), malignant \(20 of 20\)"):
        check_contrast(predictions)
    with pytest.raises(GateError, match="no contrast"):
        check_pair(predictions, predictions)


def test_labels_out_of_range_name_the_row(make):
    with pytest.raises(GateError, match=r"the label 2 in row 1 \(case case-1\)"):
        check_predictions(make(np.array([0, 2, 1]), np.zeros((3, 2))))
    with pytest.raises(GateError, match="the label -1 in row 0"):
        check_predictions(make(np.array([-1, 0, 1]), np.zeros((3, 2))))
    with pytest.raises(GateError, match="whole numbers"):
        check_predictions(make(np.array([0.5, 0, 1]), np.zeros((3, 2))))


def test_shapes_that_do_not_fit(make):
    with pytest.raises(GateError, match=r"logits of shape \(3, 2\)"):
        check_predictions(make(np.array([0, 1, 1]), np.zeros((3, 2)), classes=("a", "b", "c")))
    with pytest.raises(GateError, match="0 cases"):
        check_predictions(make(np.array([], dtype=np.int64), np.zeros((0, 2))))
    with pytest.raises(GateError, match=r"labels of shape \(3,\)"):
        check_predictions(make(np.array([0, 1, 1]), np.zeros((3, 2)), kind=TaskKind.MULTI_LABEL))
    with pytest.raises(GateError, match="call class 4 positive"):
        check_predictions(make(np.array([0, 1, 1]), np.zeros((3, 2)), positive=(4,)))
