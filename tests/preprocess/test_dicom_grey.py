import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

from dicom_files import table
from galenic.preprocess.dicom_grey import Curve, Grey, Lut, Window, grey_table, through_window, to_grey, to_values

ALL8 = np.ones(256, dtype=bool)


def test_a_linear_window_by_hand():
    # c - 0.5 = 49.5, w - 1 = 100: 0 up to -0.5, 1 above 99.5
    shares = through_window(np.array([-1.0, 0, 49.5, 50, 99.5, 100]), Window(50, 101))
    assert shares == pytest.approx([0, 0.005, 0.5, 0.505, 1, 1])
    table = grey_table(Grey(bits=8, window=Window(50, 101)), ALL8)
    # floor(255 * 0.005 + 0.5) = 1, floor(255 * 0.505 + 0.5) = 129
    assert [int(table[value]) for value in (0, 50, 99, 100, 255)] == [1, 129, 254, 255, 255]


def test_an_exact_window_by_hand():
    shares = through_window(np.array([0.0, 25, 50, 75, 100, 101]), Window(50, 100, Curve.LINEAR_EXACT))
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])


def test_a_sigmoid_by_hand():
    # 1 / (1 + exp(-4 * (value - 50) / 100)): exp(-2) = 0.135335 at 100, exp(2) at 0
    shares = through_window(np.array([0.0, 50, 100, 1e9]), Window(50, 100, Curve.SIGMOID))
    assert shares == pytest.approx([1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-2)), 1])


def test_a_window_of_width_one_is_a_threshold():
    # 0 where value <= c - 0.5
    assert through_window(np.array([9.0, 9.5, 9.6, 10]), Window(10, 1)).tolist() == [0, 0, 1, 1]


@settings(deadline=None, max_examples=150)
@given(
    bits=st.integers(2, 12),
    signed=st.booleans(),
    slope=st.sampled_from([1.0, 0.5, 2.25, -1.5]),
    intercept=st.sampled_from([0.0, -1024.0, 100.5]),
    centre=st.floats(-3000, 3000),
    width=st.floats(1, 6000),
    curve=st.sampled_from(Curve),
)
def test_windows_are_those_of_pydicom(bits, signed, slope, intercept, centre, width, curve):
    grey = Grey(bits, signed, slope, intercept, window=Window(centre, width, curve))
    said = Dataset()
    said.PhotometricInterpretation, said.BitsStored, said.PixelRepresentation = "MONOCHROME2", bits, int(signed)
    said.RescaleSlope, said.RescaleIntercept, said.VOILUTFunction = slope, intercept, curve.value
    said["RescaleSlope"]._value, said["RescaleIntercept"]._value = slope, intercept
    said.WindowCenter, said.WindowWidth = 0, 1
    said["WindowCenter"]._value, said["WindowWidth"]._value = centre, width
    stored = grey.stored()
    values = apply_modality_lut(stored, said)
    assert np.array_equal(to_values(stored, grey), values)
    ends = np.array([grey.lowest, grey.lowest + (1 << bits) - 1]) * slope + intercept
    with np.errstate(over="ignore"):  # its sigmoid's exp
        theirs = (apply_windowing(values, said) - ends[0]) / (ends[1] - ends[0])
    assert through_window(values, grey.window) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_lookup_tables_are_those_of_pydicom(vr):
    entries = np.random.default_rng(0).integers(0, 4096, 50)
    said = Dataset()
    said.ModalityLUTSequence = said.VOILUTSequence = table(entries, 20, 12, "US")
    stored = np.arange(256)
    grey = Grey(bits=8, modality=Lut(entries, 20, 12))
    # its modality LUT wants 8 or 16 bits as the type of an entry
    said.ModalityLUTSequence[0].LUTDescriptor[2] = 16
    assert np.array_equal(to_values(stored, grey), apply_modality_lut(stored, said))
    said.VOILUTSequence[0].LUTDescriptor[2] = 12
    assert np.array_equal(Lut(entries, 20, 12).look_up(stored), apply_voi(stored, said))


def test_a_lookup_table_holds_its_ends():
    lut = Lut(np.array([5, 6, 9]), -1, 4)
    assert lut.look_up(np.array([-9, -1, 0, 0.6, 1, 7])).tolist() == [5, 5, 6, 9, 9, 9]
    # 9 of 15, 5 of 15
    assert grey_table(Grey(bits=2, signed=True, voi=lut), np.ones(4, bool)).tolist() == [85, 85, 102, 153]


def test_without_a_window_eight_bits_stay_as_they_are():
    few = np.zeros(256, dtype=bool)
    few[[3, 9]] = True
    assert grey_table(Grey(bits=8), few).tolist() == list(range(256))
    assert grey_table(Grey(bits=8, white_first=True), few).tolist() == list(range(255, -1, -1))
    # a negative slope turns the values round
    assert grey_table(Grey(bits=8, slope=-2.0, intercept=7.0), few).tolist() == list(range(255, -1, -1))


def test_without_a_window_more_bits_go_from_the_smallest_to_the_largest_value_of_the_frame():
    frame = np.array([[100, 200], [300, 500]], dtype=np.uint16)
    # 0, 100/400, 200/400, 1 of 255
    assert to_grey(frame, Grey(bits=12)).tolist() == [[0, 64], [128, 255]]
    assert to_grey(np.full((2, 2), 7, np.uint16), Grey(bits=12)).tolist() == [[0, 0], [0, 0]]


def test_padding_is_black_and_counts_for_no_range():
    frame = np.array([[-2000, 100], [200, 300]], dtype=np.int16)
    grey = Grey(bits=16, signed=True, padding=(-2000, -1999))
    assert to_grey(frame, grey).tolist() == [[0, 0], [128, 255]]
    white_first = Grey(bits=16, signed=True, padding=(-2000, -1999), white_first=True)
    assert to_grey(frame, white_first).tolist() == [[0, 255], [127, 0]]
    assert to_grey(frame[:1, :1], grey).tolist() == [[0]]


def test_a_value_of_more_bits_than_are_stored_is_refused():
    with pytest.raises(IndexError):
        to_grey(np.array([[4096]], np.uint16), Grey(bits=12))


@settings(deadline=None, max_examples=60)
@given(centre=st.floats(-500, 500), width=st.floats(1, 2000), curve=st.sampled_from(Curve))
def test_greys_never_fall_where_values_rise(centre, width, curve):
    table = grey_table(Grey(bits=8, signed=True, window=Window(centre, width, curve)), ALL8)
    assert (np.diff(table.astype(int)) >= 0).all()
    turned = grey_table(Grey(bits=8, signed=True, window=Window(centre, width, curve), white_first=True), ALL8)
    assert (table.astype(int) + turned == 255).all()
