"""MIL's operations that move values without computing, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

import numpy as np

from galenic.runtimes.coreml_arguments import Arguments, Compute

PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


def reshape(a: Arguments) -> np.ndarray:
    """0 keeps a side, -1 is what is left."""
    x, shape = a.array("x"), a.integers("shape")
    return x.reshape([x.shape[place] if size == 0 and x.size else size for place, size in enumerate(shape)])


def slice_by_index(a: Arguments) -> np.ndarray:
    """``x[begin:end:stride]`` in each side; a masked end is the side's own, a squeezed side is one index and goes."""
    x = a.array("x")
    begin, end, stride = a.integers("begin"), a.integers("end"), a.integers("stride", [1] * x.ndim)
    from_start, to_end = a.flags("begin_mask", x.ndim), a.flags("end_mask", x.ndim)
    squeeze = a.flags("squeeze_mask", x.ndim)
    index: list[int | slice] = []
    for place in range(x.ndim):
        low, high = (None if from_start[place] else begin[place]), (None if to_end[place] else end[place])
        index.append(begin[place] if squeeze[place] else slice(low, high, stride[place]))
    return np.asarray(x[tuple(index)])


def slice_by_size(a: Arguments) -> np.ndarray:
    """So many from a place on; -1 is all that are left."""
    x, begin, size = a.array("x"), a.integers("begin"), a.integers("size")
    ends = (None if count == -1 else start + count for start, count in zip(begin, size, strict=True))
    return x[tuple(slice(start, end) for start, end in zip(begin, ends, strict=True))]


def pad(a: Arguments) -> np.ndarray:
    """The last sides made longer."""
    x, given = a.array("x"), a.integers("pad")
    mode = PAD_MODES.get(a.text("mode", "constant"))
    if mode is None or min(given) < 0 or len(given) > 2 * x.ndim or len(given) % 2:
        raise ValueError(f"a padding of {given} in the mode '{a.text('mode', 'constant')}'")
    pads = [(0, 0)] * (x.ndim - len(given) // 2) + list(zip(given[::2], given[1::2], strict=True))
    a.check_shape(tuple(side + before + after for side, (before, after) in zip(x.shape, pads, strict=True)))
    if mode != "constant":
        return np.pad(x, pads, mode=mode)  # type: ignore[call-overload, no-any-return]
    return np.pad(x, pads, constant_values=a.number("constant_val", 0.0))


def tile(a: Arguments) -> np.ndarray:
    """X again and again along each side."""
    x, reps = a.array("x"), a.integers("reps")
    a.check_shape(tuple(side * count for side, count in zip(x.shape, reps, strict=True)))
    return np.tile(x, reps)


def fill(a: Arguments) -> np.ndarray:
    """One value everywhere."""
    shape = tuple(a.integers("shape"))
    a.check_shape(shape)
    return np.full(shape, a.values.get("value", np.float32(0)))


def concat(a: Arguments) -> np.ndarray:
    """One behind the other along a side, or in turn."""
    parts, axis = a.arrays("values"), a.integer("axis")
    if not a.flag("interleave"):
        return np.concatenate(parts, axis=axis)
    place = axis % parts[0].ndim
    stacked = np.stack(parts, axis=place + 1)
    return stacked.reshape(*parts[0].shape[:place], -1, *parts[0].shape[place + 1 :])


def split(a: Arguments) -> list[np.ndarray]:
    """Parts of the given sizes, or so many equal ones."""
    x, axis = a.array("x"), a.integer("axis")
    if "split_sizes" in a.values:
        return np.split(x, np.cumsum(a.integers("split_sizes"))[:-1], axis=axis)
    return np.split(x, a.integer("num_splits"), axis=axis)


def gather(a: Arguments) -> np.ndarray:
    """The slices of x along a side that the indices name; the first ``batch_dims`` sides of both go together."""
    x, indices, axis = a.array("x"), a.array("indices").astype(np.int64), a.integer("axis", 0)
    batch = a.integer("batch_dims", 0)
    if batch == 0:
        return np.asarray(np.take(x, indices, axis=axis))
    rows = x.reshape(-1, *x.shape[batch:])
    wanted = indices.reshape(-1, *indices.shape[batch:])
    parts = [np.take(one, which, axis=axis % x.ndim - batch) for one, which in zip(rows, wanted, strict=True)]
    return np.stack(parts).reshape(*x.shape[:batch], *parts[0].shape)


def gather_nd(a: Arguments) -> np.ndarray:
    """The slices of x whose places are the last side of the indices."""
    x, indices = a.array("x"), a.array("indices").astype(np.int64)
    if a.integer("batch_dims", 0):
        raise ValueError("indices for each row of a batch")
    return np.asarray(x[tuple(np.moveaxis(indices, -1, 0))])


def gather_along_axis(a: Arguments) -> np.ndarray:
    """For each place of the indices, the value of x that they name along one side."""
    x, indices, axis = a.array("x"), a.array("indices").astype(np.int64), a.integer("axis", 0)
    return np.take_along_axis(x, indices, axis=axis)


def squeeze(a: Arguments) -> np.ndarray:
    """X without sides of 1: those that are named, or all."""
    return np.squeeze(a.array("x"), axis=tuple(a.integers("axes")) if "axes" in a.values else None)


def flatten2d(a: Arguments) -> np.ndarray:
    """All sides before an axis as one, all from it on as the other."""
    x, axis = a.array("x"), a.integer("axis", 1)
    rows = int(np.prod(x.shape[:axis]))
    return x.reshape(rows, x.size // max(rows, 1))


def pixel_shuffle(a: Arguments) -> np.ndarray:
    """(n, c r r, h, w) -> (n, c, h r, w r)."""
    x, factor = a.array("x"), a.integer("upscale_factor")
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels // factor**2, factor, factor, height, width)
    return parts.transpose(0, 1, 4, 2, 5, 3).reshape(n, channels // factor**2, height * factor, width * factor)


def upsample_nearest(a: Arguments) -> np.ndarray:
    """The last two sides made longer by repeating values."""
    x = a.array("x")
    for axis, name in ((-2, "scale_factor_height"), (-1, "scale_factor_width")):
        factor, side = a.number(name, 1.0), x.shape[axis]
        length = floor(side * factor)
        wanted = a.shapes[0][axis]
        if wanted is not None and wanted != length:
            raise ValueError(f"a side of {length} that is declared as {wanted}")
        x = np.take(x, np.minimum((np.arange(length) / factor).astype(np.int64), side - 1), axis=axis)
    return x


OPERATIONS: Mapping[str, Compute] = {
    "concat": concat,
    "expand_dims": lambda a: np.expand_dims(a.array("x"), tuple(a.integers("axes"))),
    "fill": fill,
    "flatten2d": flatten2d,
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "gather_nd": gather_nd,
    "pad": pad,
    "pixel_shuffle": pixel_shuffle,
    "reshape": reshape,
    "reverse": lambda a: np.flip(a.array("x"), tuple(a.integers("axes")) if "axes" in a.values else None),
    "shape": lambda a: np.array(a.array("x").shape, np.int32),
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "split": split,
    "squeeze": squeeze,
    "stack": lambda a: np.stack(a.arrays("values"), axis=a.integer("axis")),
    "tile": tile,
    "transpose": lambda a: np.transpose(a.array("x"), a.integers("perm")),
    "upsample_nearest_neighbor": upsample_nearest,
}
"""By MIL's name of the operation."""
