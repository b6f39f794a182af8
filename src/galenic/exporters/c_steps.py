"""The steps that a net is in plain C: every tensor int8, one row at a time, the channel last."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

LOWEST, HIGHEST = -128, 127


@dataclass(frozen=True, eq=False)
class Tensor:
    """An int8 tensor: ``real = scale * (integer - zero_point)``.

    Attributes:
        name: in the file.
        shape: without the batch.
        scale, zero_point: of its grid.
        storage: what its memory is known by; a reshaped tensor has that of the other one.
        constant: its integers, where it is not computed.
    """

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    storage: int
    constant: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution, depthwise or grouped too, or a dense layer; with what it pads and what it clips to.

    Attributes:
        weight: (out channels, kernel height, kernel width, channels of a group) integers.
        scales: of the weights, one per output channel.
        bias: (out channels,) int32, in steps of scale(input) * scale(weight).
        group_out: output channels that have the same inputs.
        pad: rows above, columns left.
        clip: the lowest and the highest integer of the output.
    """

    inputs: tuple[Tensor, ...]
    output: Tensor
    weight: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    group_out: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    clip: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Pooling:
    """The largest or the mean value of each window."""

    inputs: tuple[Tensor, ...]
    output: Tensor
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    clip: tuple[int, int]
    mean: bool


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean over some axes.

    Attributes:
        shape, strides: of the input as it is read, in values; a turned tensor needs no copy.
        axes: of this shape, which are averaged.
    """

    inputs: tuple[Tensor, ...]
    output: Tensor
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Combination:
    """The sum or the product of two tensors, repeated along axes where one has a size of 1."""

    inputs: tuple[Tensor, ...]
    output: Tensor
    clip: tuple[int, int]
    product: bool


@dataclass(frozen=True, eq=False)
class Lookup:
    """A function of one value: the answer of integer q is ``table[q + 128]``."""

    inputs: tuple[Tensor, ...]
    output: Tensor
    table: np.ndarray


@dataclass(frozen=True, eq=False)
class Arrangement:
    """A copy: ``size`` values along each axis, with these strides, from these first places of both tensors.

    ``fill``: what the whole output is set to before, None where the copy covers it or another one set it.
    """

    inputs: tuple[Tensor, ...]
    output: Tensor
    size: tuple[int, ...]
    stride_in: tuple[int, ...]
    stride_out: tuple[int, ...]
    first_in: int = 0
    first_out: int = 0
    fill: int | None = None


Step = Convolution | Pooling | Mean | Combination | Lookup | Arrangement


@dataclass(frozen=True)
class Net:
    """A whole net: what it takes, what it computes in order, and what it answers.

    ``channel_last`` says whether the input lies as a raw row does; otherwise it is channels first, as the model's input.
    """

    input: Tensor
    steps: tuple[Step, ...]
    output: Tensor
    channel_last: bool


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many values lie between neighbours along each axis."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
