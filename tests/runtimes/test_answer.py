import numpy as np
import pytest
from scipy.special import expit, softmax

from galenic.record.errors import DataError
from galenic.record.task import TaskKind
from galenic.runtimes.answer import postprocess, prepare, run_raw
from galenic.runtimes.onnxruntime import load

RAW = np.array([[4.0, 2.0, 6.0], [2.0, 1.0, 0.0], [0.0, -2.0, 2.0]])


def test_rows_are_prepared_as_the_artifact_says(artifact):
    # (4 * 0.5 - 1) / 2 = 0.5; (2 * 0.5 - 0) / 1 = 1; (6 * 0.5 + 1) / 4 = 1
    np.testing.assert_array_equal(prepare(load(artifact()), RAW[:1]), [[0.5, 1.0, 1.0]])


def test_raw_rows_are_answered_in_batches(artifact, oracle):
    session, told = load(artifact()), []
    answers = run_raw(session, RAW, 2, told.append)
    np.testing.assert_allclose(answers, oracle(prepare(session, RAW)), atol=1e-6)
    assert told == [2, 3]


def test_no_raw_rows_give_no_answers(artifact):
    assert run_raw(load(artifact()), RAW[:0]).shape == (0, 2)


def test_a_row_that_is_not_finite_is_named_by_its_number_in_all_rows(artifact):
    raw = RAW.copy()
    raw[2, 1] = np.nan
    with pytest.raises(DataError, match="row 2 has a value that is NaN"):
        run_raw(load(artifact()), raw, 2)


def test_postprocessing_agrees_with_scipy():
    logits = np.random.default_rng(0).normal(0, 40, (50, 4)).astype(np.float32)
    probabilities, chosen = postprocess(logits, TaskKind.SINGLE_LABEL)
    np.testing.assert_allclose(probabilities, softmax(logits.astype(float), axis=1), atol=1e-12)
    np.testing.assert_array_equal(chosen, logits.argmax(axis=1))
    probabilities, chosen = postprocess(logits, TaskKind.MULTI_LABEL)
    np.testing.assert_allclose(probabilities, expit(logits.astype(float)), atol=1e-12)
    np.testing.assert_array_equal(chosen, probabilities > 0.5)
