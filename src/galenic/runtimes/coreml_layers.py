"""MIL's convolutions, pools and products, in numpy: over one, two or three dimensions, with groups, strides and dilations.

A convolution is the product of its weight with every window of its input laid out as a column; where each channel is by itself
(depthwise), the sum over the window's places of weight times the input moved there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod, sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from galenic.runtimes.coreml_arguments import Arguments, Compute
from galenic.runtimes.coreml_norms import softmax_of
from galenic.runtimes.coreml_proto import MOST_VALUES

Pads = list[tuple[int, int]]
"""What is added before and after each dimension."""


def conv(a: Arguments) -> np.ndarray:
    """X (n, in, ...) with weight (out, in / groups, ...)."""
    x, weight, groups = a.array("x"), a.array("weight"), a.integer("groups", 1)
    kernel, sides = weight.shape[2:], x.ndim - 2
    strides, dilations = a.integers("strides", [1] * sides), a.integers("dilations", [1] * sides)
    padded = _padded(x, _pads(a, x.shape[2:], kernel, strides, dilations), 0)
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ValueError(f"{x.shape[1]} channels in {groups} groups for a weight of shape {weight.shape}")
    windows = _windows(padded, kernel, strides, dilations)
    a.check_shape((len(x), len(weight), *windows.shape[-sides:]))
    result = _depthwise(windows, weight, groups) if weight.shape[1] == 1 else _grouped(windows, weight, groups)
    return _biased(a, result)


def conv_transpose(a: Arguments) -> np.ndarray:
    """X (n, in, ...) with weight (in, out / groups, ...): every value of x adds a whole window to the result."""
    x, weight, groups = a.array("x"), a.array("weight"), a.integer("groups", 1)
    kernel, sides = weight.shape[2:], x.ndim - 2
    strides, dilations = a.integers("strides", [1] * sides), a.integers("dilations", [1] * sides)
    if groups < 1 or x.shape[1] != len(weight) or len(weight) % groups:
        raise ValueError(f"{x.shape[1]} channels in {groups} groups for a weight of shape {weight.shape}")
    span = zip(x.shape[2:], kernel, strides, dilations, strict=True)
    whole = [(side - 1) * stride + (size - 1) * dilation + 1 for side, size, stride, dilation in span]
    wanted, before = _transposed_sides(a, x.shape[2:], strides, whole)
    outputs = groups * weight.shape[1]
    a.check_shape((len(x), outputs, *wanted))
    columns = np.matmul(
        weight.reshape(groups, len(weight) // groups, -1).swapaxes(1, 2)[None],
        x.reshape(len(x), groups, len(weight) // groups, -1),
    ).reshape(len(x), outputs, *kernel, *x.shape[2:])
    room = [max(size, start + want) for size, start, want in zip(whole, before, wanted, strict=True)]
    full = np.zeros((len(x), outputs, *room), columns.dtype)
    for place in product(*(range(size) for size in kernel)):
        full[_moved(place, x.shape[2:], strides, dilations)] += columns[(slice(None), slice(None), *place)]
    cut = tuple(slice(start, start + want) for start, want in zip(before, wanted, strict=True))
    return _biased(a, full[(slice(None), slice(None), *cut)])


def max_pool(a: Arguments) -> np.ndarray:
    """The largest value of each window; what is padded is none."""
    x = a.array("x")
    pool = _pool(a, x.shape[2:])
    return np.asarray(pool.windows(_padded(x, pool.wide, -np.inf)).max(axis=pool.inner))


def avg_pool(a: Arguments) -> np.ndarray:
    """The mean of each window; padding counts as zeros unless it is excluded, and what lies beyond it (ceil) never counts."""
    x = a.array("x")
    pool, padding = _pool(a, x.shape[2:]), 0 if a.flag("exclude_padding_from_average") else 1
    counted = np.pad(np.ones(x.shape[2:], x.dtype), pool.pads, constant_values=padding)
    counted = np.pad(counted, [(0, more) for more in pool.beyond])
    sums = pool.windows(_padded(x, pool.wide, 0)).sum(axis=pool.inner)
    value: np.ndarray = sums / pool.windows(counted[None, None]).sum(axis=pool.inner)
    return value


def linear(a: Arguments) -> np.ndarray:
    """X (..., in) with weight (out, in)."""
    x, weight = a.array("x"), a.array("weight")
    a.check_shape((*x.shape[:-1], len(weight)))
    bias, result = a.optional("bias"), np.matmul(x, weight.T)
    return np.asarray(result if bias is None else result + bias)


def matmul(a: Arguments) -> np.ndarray:
    """The product of the last two sides of x and y, either of them with these exchanged first."""
    x, y = a.array("x"), a.array("y")
    x = x.swapaxes(-1, -2) if a.flag("transpose_x") and x.ndim > 1 else x
    y = y.swapaxes(-1, -2) if a.flag("transpose_y") and y.ndim > 1 else y
    if x.ndim > 1 and y.ndim > 1:
        a.check_shape((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]))
    result: np.ndarray = np.matmul(x, y)
    return result


def attention(a: Arguments) -> np.ndarray:
    """softmax(query key' / sqrt(width) + mask) value."""
    query, key, value, mask = a.array("query"), a.array("key"), a.array("value"), a.optional("attn_mask")
    a.check_shape((*query.shape[:-1], value.shape[-1]))
    scores = np.matmul(query, key.swapaxes(-1, -2)) / sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    result: np.ndarray = np.matmul(softmax_of(scores, -1), value)
    return result


OPERATIONS: Mapping[str, Compute] = {
    "avg_pool": avg_pool,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "linear": linear,
    "matmul": matmul,
    "max_pool": max_pool,
    "scaled_dot_product_attention": attention,
}
"""By MIL's name of the operation."""


def _windows(x: np.ndarray, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> np.ndarray:
    """A view (n, channels, *kernel, *positions) of every window of x (n, channels, ...)."""
    sides = len(kernel)
    if min((*kernel, *strides, *dilations)) < 1:
        raise ValueError(f"windows {tuple(kernel)} with strides {tuple(strides)} and dilations {tuple(dilations)}")
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    views = sliding_window_view(x, spans, axis=tuple(range(2, 2 + sides)))
    steps = [slice(None, None, step) for step in (*strides, *dilations)]
    views = views[(slice(None), slice(None), *steps)]
    return np.moveaxis(views, range(2, 2 + sides), range(2 + sides, 2 + 2 * sides))


def _grouped(windows: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    sides = weight.ndim - 2
    positions = windows.shape[-sides:]
    columns = windows.reshape(len(windows), groups, -1, prod(positions))
    result = np.matmul(weight.reshape(groups, len(weight) // groups, -1)[None], columns)
    return np.asarray(result.reshape(len(windows), len(weight), *positions))


def _depthwise(windows: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    sides, each = weight.ndim - 2, len(weight) // groups
    result = np.zeros((len(windows), groups, each, *windows.shape[-sides:]), windows.dtype)
    for place in np.ndindex(*weight.shape[2:]):
        factors = np.moveaxis(weight[:, 0], 0, -1)[place].reshape(groups, each, *[1] * sides)
        moved = np.moveaxis(windows, (0, 1), (sides, sides + 1))[place]
        result += moved[:, :, None] * factors
    return result.reshape(len(windows), len(weight), *windows.shape[-sides:])


def _biased(a: Arguments, result: np.ndarray) -> np.ndarray:
    bias = a.optional("bias")
    return result if bias is None else result + bias.reshape(-1, *[1] * (result.ndim - 2))


def _pads(
    a: Arguments, sides: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pads:
    kind = a.text("pad_type", "valid")
    if kind == "valid":
        return [(0, 0)] * len(sides)
    if kind == "custom":
        given = a.integers("pad", [0] * 2 * len(sides))
        if min(given) < 0 or len(given) != 2 * len(sides):
            raise ValueError(f"a padding of {given}")
        return list(zip(given[::2], given[1::2], strict=True))
    if kind not in {"same", "same_lower"}:
        raise ValueError(f"the padding '{kind}'")
    found = []
    for side, size, stride, dilation in zip(sides, kernel, strides, dilations, strict=True):
        total = max(0, (-(-side // stride) - 1) * stride + (size - 1) * dilation + 1 - side)
        less, more = total // 2, total - total // 2
        found.append((less, more) if kind == "same" else (more, less))
    return found


def _padded(x: np.ndarray, pads: Pads, fill: float) -> np.ndarray:
    if prod((*x.shape[:2], *(side + sum(pad) for side, pad in zip(x.shape[2:], pads, strict=True)))) > MOST_VALUES:
        raise ValueError(f"a padding of {pads} for {x.shape}")
    return np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill) if any(map(any, pads)) else x


@dataclass(frozen=True)
class Pool:
    """How the windows of a pool lie.

    Attributes:
        kernel, strides: one number for each dimension.
        pads: what is padded.
        beyond: what the last window needs behind that, where sizes are rounded up.
    """

    kernel: list[int]
    strides: list[int]
    pads: Pads
    beyond: list[int]

    @property
    def wide(self) -> Pads:
        """The padding with what is beyond it."""
        return [(before, after + more) for (before, after), more in zip(self.pads, self.beyond, strict=True)]

    @property
    def inner(self) -> tuple[int, ...]:
        """The places of a window's own sides."""
        return tuple(range(2, 2 + len(self.kernel)))

    def windows(self, x: np.ndarray) -> np.ndarray:
        """(n, channels, *kernel, *positions) of an input that is padded already."""
        return _windows(x, self.kernel, self.strides, [1] * len(self.kernel))


def _pool(a: Arguments, sides: Sequence[int]) -> Pool:
    kernel = a.integers("kernel_sizes")
    ones = [1] * len(kernel)
    strides = a.integers("strides", ones)
    pads = _pads(a, sides, kernel, strides, ones)
    if not a.flag("ceil_mode"):
        return Pool(kernel, strides, pads, [0] * len(kernel))
    spans = zip(sides, kernel, strides, pads, strict=True)
    return Pool(kernel, strides, pads, [_beyond(side, size, stride, pad) for side, size, stride, pad in spans])


def _beyond(side: int, size: int, stride: int, pad: tuple[int, int]) -> int:
    """What has to be added behind the padding for the last window, where sizes are rounded up."""
    whole = side + sum(pad)
    count = -(-(whole - size) // stride) + 1
    if (count - 1) * stride >= side + pad[0]:  # a window may not begin in the padding behind
        count -= 1
    return max(0, (count - 1) * stride + size - whole)


def _transposed_sides(
    a: Arguments, sides: Sequence[int], strides: Sequence[int], whole: Sequence[int]
) -> tuple[list[int], list[int]]:
    """How long each side of a transposed convolution's result is, and how much is cut off before it."""
    kind = a.text("pad_type", "valid")
    pads = [(0, 0)] * len(sides)
    wanted = list(whole)
    if kind == "custom":
        given = a.integers("pad", [0] * 2 * len(sides))
        pads = list(zip(given[::2], given[1::2], strict=True))
        wanted = [size - before - after for size, (before, after) in zip(whole, pads, strict=True)]
    elif kind == "same":
        wanted = [side * stride for side, stride in zip(sides, strides, strict=True)]
        pads = [(max(0, size - want) // 2, 0) for size, want in zip(whole, wanted, strict=True)]
    elif kind != "valid":
        raise ValueError(f"the padding '{kind}'")
    if "output_shape" in a.values:
        wanted = a.integers("output_shape")[2:]
    if len(wanted) != len(sides) or min((*wanted, *(before for before, _ in pads))) < 0:
        raise ValueError(f"a result of sides {wanted}")
    return wanted, [before for before, _ in pads]


def _moved(
    place: Sequence[int], sides: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[slice, ...]:
    """Where the values of x add to the result, for one place of the window."""
    found = [slice(None), slice(None)]
    for at, side, stride, dilation in zip(place, sides, strides, dilations, strict=True):
        found.append(slice(at * dilation, at * dilation + (side - 1) * stride + 1, stride))
    return tuple(found)
