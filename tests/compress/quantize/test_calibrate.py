"""What calibration sees is what torch sees, over all batches together, and bad rows are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.calibrate import Extremes, calibrate, in_batches
from galenic.record.errors import DataError, ModelError
from galenic.zoo.graph import traced, values


def test_extremes_and_histograms_are_those_of_all_rows(as_model) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Hardswish(), nn.Flatten(), nn.Linear(4 * 36, 2))
    graph = traced(as_model(net, (1, 8, 8), 2))
    rows = np.random.default_rng(0).normal(size=(75, 1, 8, 8)).astype(np.float32)
    seen = calibrate(graph, in_batches(rows))
    assert set(seen) == {"input", "0", "1/hardswish", "3"}, "the flattened tensor has its input's grid"
    for name, value in values(graph, torch.from_numpy(rows)).items():
        if name in seen:
            assert (seen[name].low, seen[name].high) == pytest.approx((float(value.min()), float(value.max())))
            counts, _ = np.histogram(value.numpy(), bins=2048, range=(seen[name].low, seen[name].high))
            assert seen[name].counts.sum() == value.numel()
            assert np.abs(seen[name].counts - counts).sum() <= 0.002 * value.numel()  # float32 at the edges of bins


def test_moving_ends_by_hand() -> None:
    extremes = Extremes()
    for low, high in ((-1.0, 1.0), (-2.0, 5.0), (0.0, 1.0)):
        extremes.see(low, high)
    # low: -1, then -1 + .1 (-1) = -1.1, then -1.1 + .1 (1.1) = -0.99; high: 1, 1.4, 1.36
    assert extremes.moving == pytest.approx((-0.99, 1.36))
    assert (extremes.low, extremes.high) == (-2.0, 5.0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.zeros((0, 2), np.float32), "no calibration rows"),
        (np.zeros((5, 2), np.float32), "5 calibration rows that are all zero"),
        (np.array([[1.0, np.nan]], np.float32), "a NaN or an infinity"),
    ],
)
def test_rows_that_say_nothing_are_refused(known, rows: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        calibrate(traced(known), in_batches(rows))


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_layer_that_is_not_finite_is_named(known, batches, value: float) -> None:
    with torch.no_grad():
        known.module[2].weight[0, 0] = value
    with pytest.raises(ModelError, match="the layer 2 gives values"):
        calibrate(traced(known), batches(8, (2,)))


def test_a_tensor_that_is_one_number_has_one_bin(known) -> None:
    with torch.no_grad():
        known.module[0].weight.zero_()
        known.module[0].bias.fill_(2.0)
    seen = calibrate(traced(known), in_batches(np.ones((4, 2), np.float32)))["1/relu"]
    assert (seen.low, seen.high, seen.counts[0]) == (2.0, 2.0, 8)
