"""The integers inside of files: those that one computes by hand."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from galenic.exporters.insides import INSIDES, _channels_first, _channels_last
from galenic.exporters.load import exporter_for
from galenic.record.quant import TensorRole

CALIBRATION = np.array([[-1.0, 0.5], [3.0, 2.0]], np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", INSIDES)
def test_a_files_integers_by_hand(runtime, known, wrap, integers, ends, tmp_path) -> None:
    model = integers(wrap(known, (2,), 3), CALIBRATION)
    artifact = exporter_for(runtime).export(model, tmp_path / "model", **ends(model))
    points = {point.tensor: point for point in artifact.quant.points if point.role is not TensorRole.WEIGHT}
    found = {round(one.scale, 8): one for one in INSIDES[runtime](artifact, CALIBRATION)}
    entry, hidden = points["input"], points["1/relu"]
    # in steps of 4 / 255 from -1: 64 - 64, 64 + 32, 64 + 191, 64 + 127.5
    taken = found[round(entry.scale[0], 8)].integers
    assert (taken.shape, taken.dtype) == ((2, 1, 2), np.uint8)
    assert taken.ravel().tolist() in ([0, 96, 255, 192], [0, 96, 255, 191])
    # relu(-1 - 1) = 0 and relu(-.5 + .125 + .5) = .125, relu(3 - 4) = 0 and 2.5, in steps of 2.5 / 255
    made = found[round(hidden.scale[0], 8)].integers.astype(int).ravel()
    assert np.abs(made - [0, 13, 0, 255]).max() <= 1


def test_both_layouts_are_one() -> None:
    value = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(_channels_first(value), _channels_last(value.transpose(0, 2, 3, 1)))
    assert _channels_first(value[:, :, 0, 0]).shape == _channels_last(value[:, :, 0, 0]).shape == (2, 1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", INSIDES)
def test_every_activation_of_a_convolution_net_is_shown(runtime, wrap, integers, ends, rows, tmp_path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    model = integers(wrap(net, (1, 6, 6), 2), rows(20, (1, 6, 6)))
    artifact = exporter_for(runtime).export(model, tmp_path / "model", **ends(model))
    shapes = {one.integers.shape for one in INSIDES[runtime](artifact, rows(5, (1, 6, 6)))}
    assert {(5, 1, 36), (5, 3, 16), (5, 4, 16)} <= shapes
