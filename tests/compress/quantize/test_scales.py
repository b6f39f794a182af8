"""Scales of few bits against an exhaustive search, and what they keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.compress.quantize.grid import round_weight, weight_scales
from galenic.compress.quantize.scales import SHARES, least_error_scales


def test_a_lonely_large_weight_is_clipped() -> None:
    # q = 1: scale 3 would make zeros of all ones (error 8), scale 1.2 makes 1.2 of them and of 3 (error 0.32 + 3.24)
    weight = torch.tensor([[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0]])
    scale = least_error_scales(weight, bits=2).item()
    candidates = np.linspace(1.0, 0.15, SHARES) * 3.0
    w = weight.numpy()
    errors = [float(np.sum((w - s * np.clip(np.round(w / s), -1, 1)) ** 2)) for s in candidates]
    assert scale == pytest.approx(candidates[int(np.argmin(errors))], rel=1e-6)
    assert scale < 2.0


def test_weights_on_a_grid_keep_it() -> None:
    weight = torch.tensor([[-0.7, 0.1, 0.3], [1.4, -0.2, 0.4]])
    torch.testing.assert_close(least_error_scales(weight, bits=4), torch.tensor([[0.1], [0.2]]))


@settings(deadline=None)
@given(seed=st.integers(0, 999), bits=st.integers(2, 8), group=st.sampled_from([0, 4, 12]))
def test_the_error_is_never_more_than_with_the_largest_weight_and_some_weight_reaches_the_end(
    seed: int, bits: int, group: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, 12, generator=generator) * torch.rand(3, 12, generator=generator).exp()
    found, widest = (find(weight, bits, True, group) for find in (least_error_scales, weight_scales))
    assert found.shape == widest.shape == (3, 12 // group if group else 1)
    error, before = ((weight - round_weight(weight, scales, bits)).square().sum() for scales in (found, widest))
    assert error <= before * (1 + 1e-6)
    largest = round_weight(weight, found, bits).view(*found.shape, -1).abs().amax(dim=2)
    torch.testing.assert_close(largest / found, torch.full_like(found, 2 ** (bits - 1) - 1))


def test_one_scale_for_the_whole_tensor_and_a_dead_channel() -> None:
    weight = torch.tensor([[0.0, 0.0], [0.7, -0.1]])
    assert least_error_scales(weight, 4, per_channel=False).shape == (1, 1)
    torch.testing.assert_close(least_error_scales(weight, 4), torch.tensor([[1 / 7], [0.1]]))
