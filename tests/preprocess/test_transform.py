import numpy as np
import pytest

from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality, Preprocessing

IMAGE = Preprocessing(modality=Modality.IMAGE, raw_shape=(2, 2, 2), scale=0.5, mean=(1.0, 2.0), std=(2.0, 4.0))


def test_image_by_hand():
    raw = np.array([[[[4, 8], [6, 12]], [[0, 4], [2, 20]]]], dtype=np.uint8)
    inputs = to_inputs(IMAGE, raw)
    # channel 0: (raw / 2 - 1) / 2; channel 1: (raw / 2 - 2) / 4
    assert inputs.tolist() == [[[[0.5, 1.0], [-0.5, 0.0]], [[0.5, 1.0], [0.0, 2.0]]]]
    assert inputs.dtype == np.float32
    assert inputs.flags.c_contiguous
    assert inputs.shape == (1, *IMAGE.input_shape)


def test_signal_goes_channels_first():
    spec = Preprocessing(modality=Modality.SIGNAL, raw_shape=(3, 2), scale=1.0, mean=(0.0, 10.0), std=(1.0, 2.0))
    raw = np.array([[[1, 10], [2, 12], [3, 14]]], dtype=np.int16)
    assert to_inputs(spec, raw).tolist() == [[[1, 2, 3], [0, 1, 2]]]


def test_table_keeps_its_order():
    spec = Preprocessing(modality=Modality.TABLE, raw_shape=(2,), scale=1.0, mean=(1.0, 0.0), std=(2.0, 0.5))
    assert to_inputs(spec, np.array([[3.0, 1.0]])).tolist() == [[1.0, 2.0]]


def test_raw_rows_are_not_changed():
    spec = Preprocessing(modality=Modality.TABLE, raw_shape=(1,), scale=1.0, mean=(1.0,), std=(1.0,))
    raw = np.ones((1, 1), dtype=np.float32)
    to_inputs(spec, raw)
    assert raw[0, 0] == 1.0


def test_no_rows_give_no_inputs():
    assert to_inputs(IMAGE, np.empty((0, 2, 2, 2), dtype=np.uint8)).shape == (0, 2, 2, 2)


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (np.zeros((1, 2, 2), dtype=np.uint8), "shape (1, 2, 2)"),
        (np.zeros((2, 2, 2), dtype=np.uint8), "shape (2, 2, 2)"),
        (np.zeros((1, 2, 2, 2), dtype=complex), "complex128"),
        (np.full((1, 2, 2, 2), "a"), "<U1"),
        (np.zeros((1, 2, 2, 2), dtype=object), "object"),
        ([[1]], "list"),
    ],
)
def test_wrong_rows_are_refused(raw, part):
    with pytest.raises(DataError) as caught:
        to_inputs(IMAGE, raw)
    assert part in caught.value.given


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_names_the_row(value):
    raw = np.zeros((4, 2, 2, 2), dtype=np.float32)
    raw[2, 1, 0, 1] = value
    with pytest.raises(DataError, match="row 2 has a value that is NaN"):
        to_inputs(IMAGE, raw)
