"""Rounding with a gradient, for trainings whose forward pass is on grids: learned ranges and learned weight scales.

The gradient of round is taken as 1 (Bengio et al. 2013, arXiv:1308.3432). For an activation on N = 2^bits - 1 steps of [low, high]
(asymmetric learned step sizes: Bhalgat et al., LSQ+, arXiv:2004.09576), with s = (high - low) / N and r = z + low / s the
rounding of its zero point z:
    y = s clip(round(x / s), -z, N - z)        dy/dx            dy/dlow              dy/dhigh
    inside                                     1                -(y - x) / (s N)     (y - x) / (s N)
    above                                      0                r / N                1 - r / N
    below                                      0                1 + r / N            -r / N
For a weight with one scale s per output channel (LSQ: Esser et al., ICLR 2020, arXiv:1902.08153):
    y = s clip(round(w / s), -q, q)            dy/dw = 1 inside, 0 outside            dy/dlog s = y - w inside, y outside
Scales and ends are learned as logarithms: learned as they are they cross zero. An adaptive optimizer's step is then a share of the
range whatever the range, so the gradient scaling of LSQ is not needed. A scale never leaves the largest weight below q - 1/2,
so some weight always reaches +-q.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from galenic.compress.quantize.grid import (
    NARROWEST,
    Grid,
    affine_grid,
    room_for_bias,
    round_activation,
    round_bias,
    round_weight,
)

HARDTANH_BACKWARD = torch.ops.aten.hardtanh_backward.default
"""The gradient where the value is within two bounds, else 0, in one pass."""

HALF_STEP = 0.49
"""The largest weight stays above q - 1/2 steps by this margin, and is rounded to q."""


class _RoundActivation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, ends: Tensor, bits: int) -> Tensor:
        low, high = ends.tolist()
        grid = affine_grid(low, high, bits)
        rounded = round_activation(value, grid, bits)
        ctx.save_for_backward(value, rounded)
        ctx.grid, ctx.bits, ctx.low = grid, bits, low
        return rounded

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        value, rounded = ctx.saved_tensors
        (scale, zero_point), levels = ctx.grid, 2**ctx.bits - 1
        bottom, top = -zero_point * scale, (levels - zero_point) * scale
        inside = HARDTANH_BACKWARD(gradient, value, bottom - scale / 2, top + scale / 2)
        if not ctx.needs_input_grad[1]:
            return inside.to(value.dtype), None, None
        shift = zero_point + ctx.low / scale
        rest = rounded - value
        width = _inner(inside, rest) / scale
        torch.sub(gradient, inside, out=rest)
        # what is outside was rounded to one of the two ends, so that two sums tell both apart
        total = rest.sum()
        up = (_inner(rest, rounded) - bottom * total) / (top - bottom)
        to_high = (width - shift * total) / levels
        return inside.to(value.dtype), torch.stack([total - up - to_high, up + to_high]), None


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """The sum of products, without a tensor for them where both lie in a row in memory."""
    if one.is_contiguous() and other.is_contiguous():
        return torch.dot(one.view(-1), other.view(-1))
    return (one * other).sum()


def round_with_ends(value: Tensor, ends: Float[Tensor, "2"], bits: int) -> Tensor:
    """An activation rounded to the grid of [low, high], with gradients to the value and to both ends."""
    rounded: Tensor = _RoundActivation.apply(value, ends, bits)  # type: ignore[no-untyped-call]
    return rounded


class _RoundWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, log_scales: Tensor, bits: int) -> Tensor:
        scales = reaching_scales(weight, log_scales, bits)
        rounded = round_weight(weight, scales[:, None], bits)
        ctx.save_for_backward(weight, rounded, scales, log_scales)
        ctx.bits = bits
        return rounded

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        weight, rounded, scales, log_scales = ctx.saved_tensors
        limit = 2 ** (ctx.bits - 1) - 1
        outside = weight.abs() > ((limit + 0.5) * scales).view(-1, *[1] * (weight.dim() - 1))
        inside = gradient.masked_fill(outside, 0.0)
        if not ctx.needs_input_grad[1]:
            return inside, None, None
        slope = gradient * torch.where(outside, rounded, rounded - weight)
        to_scale = slope.flatten(1).sum(dim=1)
        # at its upper bound a scale may only become smaller
        bounded = scales < log_scales.exp()
        return inside, torch.where(bounded, to_scale.clamp_min(0.0), to_scale), None


def round_with_scales(
    weight: Float[Tensor, "out ..."], log_scales: Float[Tensor, " out"], bits: int
) -> Float[Tensor, "out ..."]:
    """A weight rounded to its grid, with gradients to the weight and to the logarithms of its scales."""
    rounded: Tensor = _RoundWeight.apply(weight, log_scales, bits)  # type: ignore[no-untyped-call]
    return rounded


def reaching_scales(
    weight: Float[Tensor, "out ..."], log_scales: Float[Tensor, " out"], bits: int
) -> Float[Tensor, " out"]:
    """The scales, each small enough for its channel's largest weight to reach +-q; 1 / q for a dead channel."""
    limit = 2 ** (bits - 1) - 1
    largest = weight.detach().flatten(1).abs().amax(dim=1)
    scales = torch.minimum(log_scales.detach().exp(), largest / (limit - HALF_STEP))
    return torch.where(largest < NARROWEST, torch.full_like(scales, 1.0 / limit), scales)


class LearnedRange(nn.Module):
    """One activation's [low, high], with low <= 0 <= high, learned as the logarithms of -low and high.

    An end that calibration found at 0 stays there: what a ReLU makes has no lower one. What is ``given`` is never learned.
    """

    def __init__(self, grid: Grid, bits: int, given: bool = False) -> None:
        super().__init__()
        self.bits, self.given = bits, given
        low, high = -grid.zero_point * grid.scale, (2**bits - 1 - grid.zero_point) * grid.scale
        ends = torch.tensor([low, high], dtype=torch.float32)
        self.signs: Tensor
        self.register_buffer("signs", ends.sign())
        logarithms = torch.where(ends == 0, torch.ones_like(ends), ends.abs()).log()
        self.log_ends = nn.Parameter(logarithms, requires_grad=not given)

    def forward(self) -> Float[Tensor, "2"]:
        """Low and high."""
        ends: Tensor = self.signs * self.log_ends.exp()
        return ends

    @property
    def grid(self) -> Grid:
        """The grid of the range as it is now."""
        return _grid(self(), self.bits)


def _grid(ends: Float[Tensor, "2"], bits: int) -> Grid:
    low, high = ends.tolist()
    return affine_grid(low, high, bits)


class LearnedWeightGrid(nn.Module):
    """One layer's weight scales, learned as logarithms.

    In training the bias is left as it is, since its steps are far finer than the activations'. In evaluation everything is
    as the finished model has it: the scales have room for the bias, and the bias is on its own grid.

    Args:
        scales: to start from.
        bits: of the weight.
        transposed: whether the weight has its output channels second.
        input_bits: of the layer's input.
    """

    def __init__(self, scales: Float[Tensor, " out"], bits: int, transposed: bool, input_bits: int) -> None:
        super().__init__()
        self.bits, self.input_bits, self._transposed = bits, input_bits, transposed
        self.log_scales = nn.Parameter(scales.log())

    def forward(self, weight: Tensor, bias: Tensor | None, ends: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The layer's weight and bias on their grids; ``ends`` are those of its input's range, None where that is float."""
        turned = weight.transpose(0, 1) if self._transposed else weight
        if self.training:
            rounded = round_with_scales(turned, self.log_scales, self.bits)
        else:
            step = None if ends is None else _grid(ends, self.input_bits).scale
            scales = self.scales(weight, bias, step)
            rounded = round_weight(turned, scales, self.bits)
            bias = bias if bias is None or step is None else round_bias(bias, step, scales)
        return (rounded.transpose(0, 1) if self._transposed else rounded), bias

    def scales(self, weight: Tensor, bias: Tensor | None, input_scale: float | None) -> Float[Tensor, "out 1"]:
        """The scales as the finished model has them."""
        turned = weight.transpose(0, 1) if self._transposed else weight
        scales = reaching_scales(turned, self.log_scales, self.bits)[:, None]
        return scales if input_scale is None else room_for_bias(scales, bias, input_scale)
