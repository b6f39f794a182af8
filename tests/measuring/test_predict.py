from dataclasses import replace

import numpy as np
import pytest

from galenic.measuring.predict import predict
from galenic.record.errors import DataError, ModelError
from galenic.record.predictions import Predictions
from galenic.record.preprocessing import Preprocessing
from galenic.record.task import SplitName


def test_predictions_are_those_of_the_layer_and_carry_the_split(session, task):
    found = predict(session, task, SplitName.TEST, batch_rows=3)
    inputs = (task.test.inputs - [1.0, 0.0]) / [1.0, 2.0]
    expected = np.stack([inputs[:, 0] - inputs[:, 1], 0.5 * inputs[:, 0] + 2.0 * inputs[:, 1]], axis=1)
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    assert found.logits.dtype == np.float32
    np.testing.assert_array_equal(found.ids, task.test.ids)
    np.testing.assert_array_equal(found.labels, task.test.labels)
    np.testing.assert_array_equal(found.groups["sex"], task.test.groups["sex"])
    np.testing.assert_array_equal(found.clusters, task.test.clusters)
    assert (found.split, found.split_hash) == (SplitName.TEST, task.split_hashes["test"])
    assert (found.made_by, found.classes, found.positive) == (session.artifact.sha256, task.classes, (1,))


def test_predictions_survive_saving(session, task, tmp_path):
    found = predict(session, task, SplitName.VALIDATION)
    found.save(tmp_path / "predictions.npz")
    again = Predictions.load(tmp_path / "predictions.npz")
    np.testing.assert_array_equal(again.logits, found.logits)
    assert again.split is SplitName.VALIDATION


def test_the_batch_does_not_change_the_answer(session, task):
    one, all_at_once = (predict(session, task, SplitName.TEST, batch_rows=size).logits for size in (1, 100))
    np.testing.assert_allclose(one, all_at_once, atol=1e-6)


def test_progress_is_told(session, task):
    told = []
    predict(session, task, SplitName.TEST, batch_rows=4, progress=lambda *news: told.append(news))
    assert told == [("predicting test", 4, 7), ("predicting test", 7, 7)]


def test_a_logit_that_is_not_finite_names_the_case(session, task):
    rows = task.test.inputs.copy()
    rows[4, 1] = 3e38  # finite, but 2 * (1.5e38 ...) overflows float32
    rows[4, 0] = -3e38
    splits = {**task.splits, SplitName.TEST: replace(task.test, inputs=rows)}
    with pytest.raises(ModelError, match=r"for case test-4 \(row 4 of the test split; 1 such rows\)"):
        predict(session, replace(task, splits=splits), SplitName.TEST)


def test_a_nan_in_the_data_names_the_row(session, task):
    rows = task.test.inputs.copy()
    rows[5, 0] = np.nan
    splits = {**task.splits, SplitName.TEST: replace(task.test, inputs=rows)}
    with pytest.raises(DataError, match="row 5"):
        predict(session, replace(task, splits=splits), SplitName.TEST, batch_rows=2)


def test_a_file_for_other_classes_is_refused_with_both_numbers(session, task):
    other = replace(task, classes=("a", "b", "c"))
    with pytest.raises(ModelError, match=r"answers 2 classes .* expected the 3 classes"):
        predict(session, other, SplitName.TEST)


def test_a_file_for_another_preprocessing_is_refused(session, task):
    other = Preprocessing(modality="table", raw_shape=(2,), scale=2.0, mean=(1.0, 0.0), std=(1.0, 2.0))
    with pytest.raises(ModelError, match="preprocessed as"):
        predict(session, replace(task, preprocessing=other), SplitName.TEST)
