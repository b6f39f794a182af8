"""Grids by hand, and the laws that every range and weight obeys."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.compress.quantize.grid import (
    BIAS_LEVELS,
    affine_grid,
    grouped,
    room_for_bias,
    round_activation,
    round_weight,
    weight_point,
    weight_scales,
)

ENDS = st.floats(-1e4, 1e4, width=32)


def test_a_range_by_hand() -> None:
    # [-1, 3]: 4 / 255, and the zero at 255 / 4 = 63.75 -> 64
    grid = affine_grid(-1.0, 3.0)
    assert grid.scale == pytest.approx(4 / 255)
    assert grid.zero_point == 64
    assert affine_grid(2.0, 5.1) == affine_grid(0.0, 5.1), "zero is always on the grid"
    assert affine_grid(-1.0, 3.0, bits=4).zero_point == 4  # 15 / 4 = 3.75


def test_a_range_of_no_width_holds_zero_exactly() -> None:
    grid = affine_grid(0.0, 0.0)
    assert grid == (pytest.approx(1 / 255), 0)
    assert float(round_activation(torch.zeros(1), grid)) == 0.0


@settings(deadline=None)
@given(ENDS, ENDS)
def test_zero_is_exact_and_what_lies_inside_moves_by_at_most_half_a_step(a: float, b: float) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    grid = affine_grid(low, high)
    inside = torch.linspace(low, high, 50)
    moved = (round_activation(inside, grid) - inside).abs().max()
    assert float(round_activation(torch.zeros(1), grid)) == 0.0
    assert float(moved) <= grid.scale * 1.01 + 1e-30  # half a step, and at an end half a step of the zero point


def test_weights_by_hand() -> None:
    weight = torch.tensor([[1.0, -2.0], [0.5, 0.25], [0.0, 0.0]])
    scales = weight_scales(weight, bits=8)
    assert scales.flatten().tolist() == pytest.approx([2 / 127, 0.5 / 127, 1 / 127])
    assert weight_scales(weight, per_channel=False).tolist() == [[pytest.approx(2 / 127)]]
    four = round_weight(
        weight + 0.1, weight_scales(weight, bits=4), bits=4
    )  # 1.1 / (2 / 7) = 3.85, -1.9 / (2 / 7) = -6.65
    assert four[0].tolist() == pytest.approx([4 * 2 / 7, -7 * 2 / 7])


def test_groups_have_scales_of_their_own() -> None:
    weight = torch.tensor([[1.0, -2.0, 0.1, 0.2]])
    assert grouped(weight, 2).shape == (1, 2, 2)
    assert weight_scales(weight, bits=4, group_size=2).tolist() == [[pytest.approx(2 / 7), pytest.approx(0.2 / 7)]]
    assert weight_scales(weight, bits=4, group_size=3).shape == (1, 1), "a size that does not divide is one group"
    rounded = round_weight(weight, weight_scales(weight, bits=4, group_size=2), bits=4)
    assert rounded[0, 3] == pytest.approx(0.2)
    point = weight_point("layer", weight_scales(weight, bits=4, group_size=2), 4, 2)
    assert (point.bits, point.axis, point.group_size, len(point.scale)) == (4, 0, 2, 2)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 4, 8]))
def test_rounding_a_rounded_weight_changes_nothing(seed: int, bits: int) -> None:
    weight = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 5)).astype(np.float32))
    scales = weight_scales(weight, bits)
    once = round_weight(weight, scales, bits)
    torch.testing.assert_close(round_weight(once, scales, bits), once)
    torch.testing.assert_close(weight_scales(once, bits), scales)
    assert float((once - weight).abs().max()) <= float(scales.max()) * 0.5001


def test_a_scale_is_widened_until_its_bias_fits_into_32_bits() -> None:
    scales, bias = torch.tensor([[1e-9], [1e-3]]), torch.tensor([100.0, 1.0])
    wide = room_for_bias(scales, bias, input_scale=0.01)
    assert wide.flatten().tolist() == pytest.approx([100.0 / (0.01 * BIAS_LEVELS), 1e-3])
    assert float(bias[0] / (0.01 * wide[0, 0])) < 2**31
    assert torch.equal(room_for_bias(scales, None, 0.01), scales)
