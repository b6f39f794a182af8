"""Gradients of rounding by hand and against a float64 finite difference of what is not rounded; ranges and scales that hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from galenic.compress.quantize.fake import (
    LearnedRange,
    LearnedWeightGrid,
    reaching_scales,
    round_with_ends,
    round_with_scales,
)
from galenic.compress.quantize.grid import Grid, affine_grid, round_activation, round_bias, round_weight

ENDS = st.tuples(st.floats(-8.0, -0.05), st.floats(0.05, 8.0))


@settings(deadline=None)
@given(seed=st.integers(0, 999), ends=ENDS, bits=st.integers(2, 8))
def test_rounding_has_the_bits_of_torchs_own(seed: int, ends: tuple[float, float], bits: int) -> None:
    grid = affine_grid(*ends, bits)
    values = torch.randn(500, generator=torch.Generator().manual_seed(seed)) * 5
    values[:100] = (torch.arange(100) - 50.5) * grid.scale  # ties
    theirs = torch.fake_quantize_per_tensor_affine(values, grid.scale, grid.zero_point, 0, 2**bits - 1)
    assert torch.equal(round_activation(values, grid, bits), theirs)


def gradients(values: list[float], ends: list[float], bits: int) -> tuple[list[float], list[float], list[list[float]]]:
    """What is made of the values, its derivative to each value, and to both ends of each."""
    x, both = torch.tensor(values, requires_grad=True), torch.tensor(ends, requires_grad=True)
    y = round_with_ends(x, both, bits)
    to_ends = [torch.autograd.grad(one, both, retain_graph=True)[0].tolist() for one in y]
    (to_values,) = torch.autograd.grad(y.sum(), x)
    return y.tolist(), to_values.tolist(), to_ends


def test_gradients_of_a_range_by_hand() -> None:
    # 3 steps of 0.5 from 0: below, inside (0.3 becomes 0.5), above
    y, to_values, to_ends = gradients([-1.0, 0.3, 4.0], [0.0, 1.5], bits=2)
    assert y == [0.0, 0.5, 1.5]
    assert to_values == [0.0, 1.0, 0.0]
    # inside: (y - x) / (s N) = 0.2 / 1.5
    np.testing.assert_allclose(to_ends, [[1.0, 0.0], [-0.2 / 1.5, 0.2 / 1.5], [0.0, 1.0]], atol=1e-6)


def test_the_rounding_of_the_zero_point_has_a_share_in_the_gradient() -> None:
    # [-0.4, 1.1] on 3 steps of 0.5: z = round(0.8) = 1, so the grid is [-0.5, 1.0] and r = 1 - 0.8 = 0.2
    y, _, to_ends = gradients([-2.0, 2.0], [-0.4, 1.1], bits=2)
    assert y == [-0.5, 1.0]
    np.testing.assert_allclose(to_ends, [[1 + 0.2 / 3, -0.2 / 3], [0.2 / 3, 1 - 0.2 / 3]], atol=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 999), ends=ENDS, bits=st.integers(2, 8))
def test_gradients_of_a_range_are_the_slopes_of_what_is_not_rounded(
    seed: int, ends: tuple[float, float], bits: int
) -> None:
    """With the two rounding errors held, y(low, high) is smooth; its slope is found in float64 by numpy alone."""
    levels = 2**bits - 1
    rng = np.random.default_rng(seed)
    low, high = np.float32(ends[0]).astype(float), np.float32(ends[1]).astype(float)
    step = (high - low) / levels
    zero = np.round(-low / step)
    assume(abs(-low / step - np.floor(-low / step) - 0.5) > 1e-3)  # float32 and float64 may round a tie differently
    x = rng.normal(size=64).astype(np.float32).astype(float) * 6
    ratio = x / step
    x = x[np.abs(np.abs(ratio - np.floor(ratio)) - 0.5) > 1e-3]  # not on a tie
    factor = rng.normal(size=len(x)).astype(np.float32).astype(float)
    error, shift = np.round(x / step) - x / step, zero + low / step
    integers = np.round(x / step) + zero
    inside = (integers >= 0) & (integers <= levels)

    def smooth(low: float, high: float) -> float:
        step = (high - low) / levels
        zero = -low / step + shift
        made = np.where(inside, x / step + error + zero, np.where(x > 0, levels, 0))
        return float(factor @ (step * (made - zero)))

    both = torch.tensor([low, high], dtype=torch.float32, requires_grad=True)
    y = (round_with_ends(torch.tensor(x, dtype=torch.float32), both, bits) * torch.tensor(factor)).sum()
    y.backward()
    h = 1e-6
    slopes = [
        (smooth(low + h, high) - smooth(low - h, high)) / (2 * h),
        (smooth(low, high + h) - smooth(low, high - h)) / (2 * h),
    ]
    np.testing.assert_allclose(both.grad, slopes, rtol=2e-3, atol=2e-3)
    assert smooth(low, high) == pytest.approx(y.item(), abs=1e-3)


def test_gradients_of_weights_and_their_scale_by_hand() -> None:
    # scale 0.1, integers up to 7: 0.34 becomes 0.3, -0.26 becomes -0.3, 0.9 is clipped to 0.7
    weight = torch.tensor([[0.34, -0.26, 0.9]], requires_grad=True)
    log_scale = torch.tensor([0.1]).log().requires_grad_()
    y = round_with_scales(weight, log_scale, bits=4)
    np.testing.assert_allclose(y.tolist(), [[0.3, -0.3, 0.7]], rtol=1e-6)
    (y * torch.tensor([[1.0, 2.0, 3.0]])).sum().backward()
    assert weight.grad.tolist() == [[1.0, 2.0, 0.0]]
    # dy/dlog s = y - w inside, y outside
    assert log_scale.grad.item() == pytest.approx(1 * -0.04 + 2 * -0.04 + 3 * 0.7, rel=1e-5)


@settings(deadline=None)
@given(seed=st.integers(0, 999), bits=st.integers(2, 8))
def test_gradients_of_scales_are_the_slopes_of_what_is_not_rounded(seed: int, bits: int) -> None:
    rng, limit = np.random.default_rng(seed), 2 ** (bits - 1) - 1
    weight = rng.normal(size=(3, 20)).astype(np.float32).astype(float)
    scales = np.abs(weight).max(axis=1) * rng.uniform(0.3, 0.95, 3) / limit
    log = np.log(scales).astype(np.float32).astype(float)
    factor = rng.normal(size=weight.shape).astype(np.float32).astype(float)
    ratio = weight / np.exp(log)[:, None]
    integer = np.clip(np.round(ratio), -limit, limit)
    inside = np.abs(ratio) < limit + 0.5

    def smooth(log: np.ndarray) -> np.ndarray:
        scale = np.exp(log)[:, None]
        return (factor * scale * np.where(inside, weight / scale + (integer - ratio), integer)).sum(axis=1)

    slope = (smooth(log + 1e-6) - smooth(log - 1e-6)) / 2e-6
    learned = torch.tensor(log, dtype=torch.float32, requires_grad=True)
    y = round_with_scales(torch.tensor(weight, dtype=torch.float32), learned, bits)
    (y * torch.tensor(factor, dtype=torch.float32)).sum().backward()
    np.testing.assert_allclose(learned.grad, slope, rtol=2e-3, atol=2e-3)


def test_a_scale_that_is_too_wide_is_bounded_and_only_becomes_smaller() -> None:
    weight, wide = torch.tensor([[0.3, -0.1]]), torch.tensor([0.2]).log().requires_grad_()
    y = round_with_scales(weight, wide, bits=4)
    np.testing.assert_allclose(y.tolist(), [[0.3 / 6.51 * 7, -0.3 / 6.51 * 2]], rtol=1e-5)
    for factor, expected in ((1.0, 0.3 / 6.51 * 7 - 0.3), (-1.0, 0.0)):
        (found,) = torch.autograd.grad(factor * y[0, 0], wide, retain_graph=True)
        assert found.item() == pytest.approx(expected, rel=1e-4)


@settings(deadline=None)
@given(seed=st.integers(0, 999), bits=st.integers(2, 8), log=st.floats(-12, 5))
def test_some_weight_always_reaches_the_largest_integer_of_a_scale_that_is_not_too_small(
    seed: int, bits: int, log: float
) -> None:
    weight = torch.randn(2, 9, generator=torch.Generator().manual_seed(seed))
    scales = reaching_scales(weight, torch.full((2,), log), bits)
    rounded = round_weight(weight, scales[:, None], bits)
    np.testing.assert_allclose(rounded.abs().amax(dim=1) / scales, 2 ** (bits - 1) - 1, rtol=1e-5)


def test_a_dead_channel_has_a_scale_and_stays_zero() -> None:
    weight = torch.zeros(1, 4, requires_grad=True)
    log = torch.tensor([-30.0], requires_grad=True)
    y = round_with_scales(weight, log, bits=8)
    y.sum().backward()
    assert y.tolist() == [[0.0] * 4]
    assert weight.grad.isfinite().all()
    assert log.grad.tolist() == [0.0]


@settings(deadline=None)
@given(ends=ENDS, bits=st.integers(2, 8))
def test_a_learned_range_starts_with_the_grid_that_it_was_given(ends: tuple[float, float], bits: int) -> None:
    given_grid = affine_grid(*ends, bits)
    learned = LearnedRange(given_grid, bits).grid
    assert learned.zero_point == given_grid.zero_point
    assert learned.scale == pytest.approx(given_grid.scale, rel=1e-5)


def test_an_end_at_zero_stays_there() -> None:
    learned = LearnedRange(Grid(0.1, 0), 8)
    x = torch.tensor([-3.0, 40.0])
    round_with_ends(x, learned(), 8).sum().backward()
    # the upper end's logarithm has dy/dlog high = high = 25.5
    np.testing.assert_allclose(learned.log_ends.grad, [0.0, 25.5], rtol=1e-5)
    assert learned().tolist() == pytest.approx([0.0, 25.5])


def test_bfloat16_values_are_rounded_in_float32() -> None:
    x = torch.tensor([0.3, 9.0], dtype=torch.bfloat16, requires_grad=True)
    y = round_with_ends(x, torch.tensor([0.0, 2.55]), 8)
    assert y.dtype is torch.float32
    y.sum().backward()
    assert x.grad.dtype is torch.bfloat16
    assert x.grad.tolist() == [1.0, 0.0]


def test_channels_last_has_the_same_gradients() -> None:
    x = torch.randn(2, 3, 4, 5) * 2
    found = []
    for one in (x, x.to(memory_format=torch.channels_last)):
        ends = torch.tensor([-1.0, 2.0], requires_grad=True)
        (round_with_ends(one, ends, 8) * x).sum().backward()
        found.append(ends.grad)
    torch.testing.assert_close(found[0], found[1])


def test_in_evaluation_a_layer_is_as_the_finished_model_has_it() -> None:
    weight, bias = torch.randn(3, 2, 4, 4), torch.randn(3)
    ends = torch.tensor([0.0, 2.55])
    grid = LearnedWeightGrid(torch.tensor([0.2, 0.1, 0.3]), 4, transposed=False, input_bits=8).eval()
    rounded, added = grid(weight, bias, ends)
    scales = grid.scales(weight, bias, 0.01)
    assert torch.equal(rounded, round_weight(weight, scales, 4))
    assert torch.equal(added, round_bias(bias, affine_grid(0.0, ends[1].item()).scale, scales))
    assert torch.equal(grid(weight, bias, None)[1], bias), "without a grid on its input a bias is float"
    assert torch.equal(grid.train()(weight, bias, ends)[1], bias)


def test_a_transposed_weight_has_its_output_channels_second() -> None:
    weight = torch.randn(3, 2, 4, 4)
    log = torch.tensor([0.2, 0.1])
    grid = LearnedWeightGrid(log, 4, transposed=True, input_bits=8)
    plain = LearnedWeightGrid(log, 4, transposed=False, input_bits=8)
    for mode in (True, False):
        both = grid.train(mode)(weight, None, None)[0], plain.train(mode)(weight.transpose(0, 1), None, None)[0]
        assert torch.equal(both[0], both[1].transpose(0, 1))


def test_a_weight_too_fine_for_its_bias_gets_a_wider_scale_in_evaluation() -> None:
    # 1 / (0.01 * 2^30) is the least scale that holds a bias of 1 in int32
    grid = LearnedWeightGrid(torch.tensor([1e-9]), 8, transposed=False, input_bits=8)
    assert grid.scales(torch.tensor([[1e-7]]), torch.tensor([1.0]), 0.01).item() == pytest.approx(1 / (0.01 * 2**30))
