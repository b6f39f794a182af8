"""MIL's normalisations, reductions, quantization, and weights that are stored as fewer bits, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from galenic.runtimes.coreml_arguments import Arguments, Compute

LEVELS: Mapping[str, tuple[int, int]] = {"uint8": (0, 255), "int8": (-128, 127)}
EPSILON = 1e-5


def batch_norm(a: Arguments) -> np.ndarray:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta for each channel, the second side."""
    x = a.array("x")
    mean, variance = (_channels(x, a.array(name)) for name in ("mean", "variance"))
    return _scaled(a, (x - mean) / np.sqrt(variance + a.number("epsilon", EPSILON)), lambda one: _channels(x, one))


def instance_norm(a: Arguments) -> np.ndarray:
    """The same with each row's own mean and variance of each channel."""
    x = a.array("x")
    return _scaled(
        a, _normalised(x, tuple(range(2, x.ndim)), a.number("epsilon", EPSILON)), lambda one: _channels(x, one)
    )


def layer_norm(a: Arguments) -> np.ndarray:
    """The same over some sides; gamma and beta have just these."""
    x = a.array("x")
    axes = tuple(axis % x.ndim for axis in a.integers("axes", [-1]))
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    return _scaled(a, _normalised(x, axes, a.number("epsilon", EPSILON)), lambda one: one.reshape(shape))


def softmax_of(x: np.ndarray, axis: int) -> np.ndarray:
    """e^x by the sum of it along a side."""
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    value: np.ndarray = powers / powers.sum(axis=axis, keepdims=True)
    return value


def quantize(a: Arguments) -> np.ndarray:
    """clip(round(input / scale) + zero_point), ties to even, to the integers of its type."""
    x, kind = a.array("input"), a.text("output_dtype")
    if kind not in LEVELS:
        raise ValueError(f"integers of the type '{kind}'")
    scale, zero_point = _grid(a, x)
    return np.asarray(np.clip(np.rint(x / scale) + zero_point, *LEVELS[kind]))


def dequantize(a: Arguments) -> np.ndarray:
    """Scale * (input - zero_point)."""
    return _real(a, a.array("input"))


def affine_weight(a: Arguments) -> np.ndarray:
    """The weight of 8-bit integers, with a scale for all, or one for each slice along an axis."""
    return _real(a, a.array("quantized_data"))


def blockwise_weight(a: Arguments) -> np.ndarray:
    """The weight of integers with a scale for each block: along each side as many blocks as the scale has values there."""
    data, scale, offset = a.array("data"), a.array("scale"), a.optional("offset")
    scales = _spread(scale, data.shape)
    shifted = data.astype(np.float32) if offset is None else data.astype(np.float32) - _spread(offset, data.shape)
    return np.asarray(shifted * scales)


def _real(a: Arguments, integers: np.ndarray) -> np.ndarray:
    scale, zero_point = _grid(a, integers)
    return np.asarray((integers.astype(np.float32) - zero_point) * scale)


def _grid(a: Arguments, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point, each for all values or along an axis."""
    scale, zero_point = a.array("scale"), a.optional("zero_point")
    shape = [1] * x.ndim
    if scale.ndim or (zero_point is not None and zero_point.ndim):
        shape[a.integer("axis")] = -1
    zero = np.zeros(()) if zero_point is None else zero_point
    return _along(scale, shape), _along(zero.astype(np.float32), shape)


def _along(values: np.ndarray, shape: list[int]) -> np.ndarray:
    return values.reshape(shape) if values.ndim else values


def _spread(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if blocks.ndim != len(shape) or any(size % count for size, count in zip(shape, blocks.shape, strict=True)):
        raise ValueError(f"scales of shape {blocks.shape} for values of shape {shape}")
    for axis, size in enumerate(shape):
        blocks = np.repeat(blocks, size // blocks.shape[axis], axis=axis)
    return blocks


def _normalised(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    centred = x - x.mean(axis=axes, keepdims=True)
    value: np.ndarray = centred / np.sqrt(np.square(centred).mean(axis=axes, keepdims=True) + epsilon)
    return value


def _scaled(a: Arguments, x: np.ndarray, shaped: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    gamma, beta = a.optional("gamma"), a.optional("beta")
    x = x if gamma is None else x * shaped(gamma)
    return x if beta is None else x + shaped(beta)


def _channels(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *[1] * (x.ndim - 2))


def _reduction(function: Callable[..., Any]) -> Compute:
    def compute(a: Arguments) -> np.ndarray:
        x = a.array("x")
        axes = tuple(a.integers("axes")) if "axes" in a.values else None
        return np.asarray(function(x, axis=axes, keepdims=a.flag("keep_dims")))

    return compute


def _place(function: Callable[..., Any]) -> Compute:
    return lambda a: np.asarray(function(a.array("x"), axis=a.integer("axis", -1), keepdims=a.flag("keep_dims")))


def _log_sum_exp(x: np.ndarray, axis: tuple[int, ...] | None, keepdims: bool) -> np.ndarray:
    largest = x.max(axis=axis, keepdims=True)
    sums = np.log(np.exp(x - largest).sum(axis=axis, keepdims=True)) + largest
    return np.asarray(sums if keepdims else sums.squeeze(axis))


OPERATIONS: Mapping[str, Compute] = {
    "batch_norm": batch_norm,
    "constexpr_affine_dequantize": affine_weight,
    "constexpr_blockwise_shift_scale": blockwise_weight,
    "constexpr_cast": lambda a: a.array("source_val"),
    "dequantize": dequantize,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "quantize": quantize,
    "reduce_argmax": _place(np.argmax),
    "reduce_argmin": _place(np.argmin),
    "reduce_l2_norm": _reduction(lambda x, axis, keepdims: np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims))),
    "reduce_log_sum_exp": _reduction(_log_sum_exp),
    "reduce_max": _reduction(np.max),
    "reduce_mean": _reduction(np.mean),
    "reduce_min": _reduction(np.min),
    "reduce_prod": _reduction(np.prod),
    "reduce_sum": _reduction(np.sum),
    "reduce_sum_square": _reduction(lambda x, axis, keepdims: np.square(x).sum(axis=axis, keepdims=keepdims)),
    "softmax": lambda a: softmax_of(a.array("x"), a.integer("axis", -1)),
}
"""By MIL's name of the operation."""
