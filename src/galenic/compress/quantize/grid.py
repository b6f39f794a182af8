"""Grids of integers: from a range to a scale and a zero point, and a tensor rounded to its grid.

    activations   real = scale (integer - zero_point)     0 <= integer <= 2^bits - 1, and 0.0 is on the grid
    weights       real = scale integer                    -q <= integer <= q,  q = 2^(bits - 1) - 1
(Jacob et al. 2018, arXiv:1712.05877; Krishnamoorthi 2018, arXiv:1806.08342)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from galenic.record.quant import QuantPoint, TensorRole

NARROWEST = 1e-8
"""A narrower range than this is none: its values are all zero."""

BIAS_LEVELS = 2.0**30
"""A bias may be this many steps of scale(input) * scale(weight), which is half of what int32 holds."""


class Grid(NamedTuple):
    """Of one activation."""

    scale: float
    zero_point: int


def affine_grid(low: float, high: float, bits: int = 8) -> Grid:
    """The unsigned grid that covers [min(low, 0), max(high, 0)]; float32 values, as files hold them."""
    low, high = min(low, 0.0), max(high, 0.0)
    levels = 2**bits - 1
    if high - low < NARROWEST:
        return Grid(1.0 / levels, 0)
    scale = float(torch.tensor((high - low) / levels, dtype=torch.float32))
    return Grid(scale, min(max(round(-low / scale), 0), levels))


def weight_scales(
    weight: Float[Tensor, "out ..."], bits: int = 8, per_channel: bool = True, group_size: int = 0
) -> Float[Tensor, "out groups"]:
    """The symmetric scales whose largest integer is the largest weight: one, per output channel, or per group of it.

    A channel of zeros has the scale of weights up to 1: any scale is exact there, and a tiny one would overflow its bias.
    """
    rows = grouped(weight, group_size) if per_channel else weight.detach().reshape(1, 1, -1)
    largest = rows.detach().abs().amax(dim=2)
    largest = torch.where(largest < NARROWEST, torch.ones_like(largest), largest)
    scales: Tensor = largest / (2 ** (bits - 1) - 1)
    return scales


def room_for_bias(
    scales: Float[Tensor, "out groups"], bias: Float[Tensor, " out"] | None, input_scale: float
) -> Float[Tensor, "out groups"]:
    """The scales, widened where the bias would not fit into int32 at scale(input) * scale(weight)."""
    if bias is None:
        return scales
    least = bias.detach().abs() / (input_scale * BIAS_LEVELS)
    return torch.maximum(scales, least.max().expand_as(scales) if len(scales) == 1 else least[:, None])


def grouped(weight: Float[Tensor, "out ..."], group_size: int) -> Float[Tensor, "out groups size"]:
    """Each output channel's weights in groups; one group where ``group_size`` is 0 or does not divide them."""
    rows = weight.reshape(len(weight), -1)
    if group_size == 0 or rows.shape[1] % group_size:
        return rows[:, None]
    return rows.reshape(len(rows), -1, group_size)


def round_weight(
    weight: Float[Tensor, "out ..."], scales: Float[Tensor, "channels groups"], bits: int = 8
) -> Float[Tensor, "out ..."]:
    """The weight on its grid: nearest, ties to even. ``scales`` as ``weight_scales`` gives them."""
    limit = 2 ** (bits - 1) - 1
    groups = scales.shape[1]
    rows = weight.reshape(len(weight), groups, -1) / scales[:, :, None]
    return (rows.round().clamp(-limit, limit) * scales[:, :, None]).reshape(weight.shape)


def round_activation(value: Tensor, grid: Grid, bits: int = 8) -> Float[Tensor, "..."]:
    """A tensor on its grid, values outside clipped: what integer arithmetic sees of it. It has no gradient.

    These are the bits of ``torch.fake_quantize_per_tensor_affine`` in a third of its time: it divides by multiplying, too.
    """
    inverse = float(1.0 / torch.tensor(grid.scale, dtype=torch.float32))
    lowest = -grid.zero_point
    return (value.detach().float() * inverse).round_().clamp_(lowest, lowest + 2**bits - 1).mul_(grid.scale)


def round_bias(
    bias: Float[Tensor, " out"], input_scale: float, scales: Float[Tensor, "channels 1"]
) -> Float[Tensor, " out"]:
    """A bias on the steps that int32 holds it in, scale(input) * scale(weight)."""
    step = input_scale * scales.flatten()
    return (bias / step).round() * step


def activation_point(tensor: str, grid: Grid, bits: int, role: TensorRole = TensorRole.OUTPUT) -> QuantPoint:
    """The record of an activation's grid."""
    return QuantPoint(tensor=tensor, role=role, bits=bits, scale=(grid.scale,), zero_point=(grid.zero_point,))


def weight_point(layer: str, scales: Float[Tensor, "channels groups"], bits: int, group_size: int) -> QuantPoint:
    """The record of a weight's grid."""
    flat = tuple(float(value) for value in scales.reshape(-1))
    return QuantPoint(
        tensor=layer,
        role=TensorRole.WEIGHT,
        bits=bits,
        scale=flat,
        zero_point=(0,) * len(flat),
        axis=None if len(flat) == 1 else 0,
        group_size=group_size if scales.shape[1] > 1 else 0,
    )
