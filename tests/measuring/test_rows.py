"""Drawn rows fit their preprocessing, and come back with the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from galenic.measuring.rows import drawn_rows
from galenic.preprocess.transform import check_raw, to_inputs
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces

IMAGE = Preprocessing(modality=Modality.IMAGE, raw_shape=(8, 6, 3), scale=1 / 255, mean=(0.5,) * 3, std=(0.2,) * 3)
DEEP = IMAGE.model_copy(update={"scale": 1 / 4095})
SIGNAL = Preprocessing(modality=Modality.SIGNAL, raw_shape=(500, 2), scale=0.5, mean=(3.0, -1.0), std=(2.0, 0.1))
TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(2,), scale=1.0, mean=(5.0, 0.0), std=(1.0, 2.0))
WORDS = WordPieces(vocabulary=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "fever"))
TEXT = Preprocessing(modality=Modality.TEXT, raw_shape=(12,), scale=1.0, mean=(), std=(), text=WORDS)


@pytest.mark.parametrize("preprocessing", [IMAGE, DEEP, SIGNAL, TABLE, TEXT])
def test_they_are_what_the_preprocessing_takes(preprocessing):
    rows = drawn_rows(preprocessing, 5, seed=1)
    assert rows.shape == (5, *preprocessing.raw_shape)
    check_raw(preprocessing, rows)
    np.testing.assert_array_equal(rows, drawn_rows(preprocessing, 5, seed=1))
    assert (rows != drawn_rows(preprocessing, 5, seed=2)).any()


def test_pictures_are_bytes_and_texts_have_no_padding():
    pictures = drawn_rows(IMAGE, 50)
    assert pictures.dtype == np.uint8
    assert (pictures.min(), pictures.max()) == (0, 255)
    assert drawn_rows(TEXT, 50).min() == 1


@pytest.mark.parametrize("preprocessing", [DEEP, SIGNAL])
def test_inputs_are_standard_as_those_of_a_training_are(preprocessing):
    inputs = to_inputs(preprocessing, drawn_rows(preprocessing, 100))
    assert abs(inputs.mean()) < 0.05
    assert abs(inputs.std() - 1) < 0.05
