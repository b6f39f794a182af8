import numpy as np
import pytest

from galenic.preprocess.windows import cut_windows, window_starts, windows_at
from galenic.record.errors import DataError


def test_windows_by_hand():
    signal = np.arange(7, dtype=np.int16)[:, None]
    assert cut_windows(signal, 3, 2)[..., 0].tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert cut_windows(signal, 3, 2).dtype == np.int16


def test_the_rest_is_left_out():
    assert window_starts(8, 3, 2).tolist() == [0, 2, 4]
    assert window_starts(2, 3, 1).tolist() == []


def test_channels_stay_last_and_the_signal_unchanged():
    signal = np.random.default_rng(0).normal(size=(10, 3))
    windows = cut_windows(signal, 4, 3)
    assert (windows[1] == signal[3:7]).all()
    windows[:] = 0
    assert signal.any()


@pytest.mark.parametrize(("shape", "length", "hop"), [((5,), 2, 1), ((5, 1), 6, 1), ((5, 1), 0, 1), ((5, 1), 2, 0)])
def test_what_cannot_be_cut_is_refused(shape, length, hop):
    with pytest.raises(DataError):
        cut_windows(np.zeros(shape), length, hop)


def test_windows_from_any_start():
    signal = np.arange(7)[:, None]
    assert windows_at(signal, np.array([4, 0]), 3)[..., 0].tolist() == [[4, 5, 6], [0, 1, 2]]
    assert windows_at(signal, np.array([], dtype=np.int64), 3).shape == (0, 3, 1)
    for starts in ([-1], [0, 5]):
        with pytest.raises(DataError, match="inside of the signal"):
            windows_at(signal, np.array(starts), 3)
