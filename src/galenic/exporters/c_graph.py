"""An INT8 .tflite file as steps for plain C: every tensor int8, batch 1, the channel last.

what the file has                          what becomes of it
QUANTIZE first, DEQUANTIZE last            the grids of the input and the logits: the caller's side
the first TRANSPOSE, from channels first   the input's order is that of a raw row, channel last
RESHAPE                                    another shape of the same memory
rows in the batch's place                  an axis: a dense layer over the last axis leaves them there
PAD before a convolution                   the convolution's own padding
TRANSPOSE before a MEAN                    the mean's own order of reading
CONV, DEPTHWISE_CONV, FULLY_CONNECTED      Convolution
a function of one value                    Lookup: a table of 256 answers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from galenic.exporters.c_functions import FUNCTIONS, answers
from galenic.exporters.c_steps import (
    HIGHEST,
    LOWEST,
    Arrangement,
    Combination,
    Convolution,
    Lookup,
    Mean,
    Net,
    Pooling,
    Step,
    Tensor,
    strides_of,
)
from galenic.exporters.litert_coverage import INT8, INTEGERS, integers_of
from galenic.exporters.litert_file import FLOAT32, kinds, unpacked
from galenic.exporters.tflite_micro import OPERATIONS, place_of
from galenic.record.errors import ModelError

INT32 = 2  # TensorType of LiteRT's schema
SAME = 0  # its Padding
RECTIFY, RECTIFY_6 = 1, 3  # its ActivationFunctionType
MASKS = ("beginMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")  # its StridedSliceOptions; endMask moves nothing


def read(data: bytes, name: str) -> Net:
    """The steps of an INT8 .tflite file.

    Args:
        data: the file, of one graph for one row, with integers from its QUANTIZE to its DEQUANTIZE.
        name: of the model, for errors.

    Raises:
        ModelError: an operation that no kernel here computes, or one that is not on int8.
    """
    reader = _Reader(unpacked(data), name)
    return reader.net()


@dataclass
class _Operation:
    kind: str
    inputs: list[int]
    output: int
    options: Any


@dataclass
class _Reader:
    """Goes through the operations of a file once; ``known`` is what each tensor's number has become.

    ``pads`` and ``turns`` are what was left to the users: tensor -> where it comes from, and rows and columns, or axes.
    """

    model: Any
    name: str
    known: dict[int, Tensor] = field(default_factory=dict)
    pads: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = field(default_factory=dict)
    turns: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)

    def net(self) -> Net:
        graph = self.model.subgraphs[0]
        todo = [
            _Operation(kind, [int(one) for one in op.inputs], int(op.outputs[0]), op.builtinOptions)
            for kind, op in zip(kinds(self.model), graph.operators, strict=True)
        ]
        self._check_floats(todo)
        if len(todo) < 3 or (todo[0].kind, todo[-1].kind) != ("QUANTIZE", "DEQUANTIZE"):
            raise self.refused("its ends are not integers", "a net that is quantized from its input to its logits")
        start, last = todo[0].output, todo[-1].inputs[0]
        todo, entry, channel_last = self._without_first_turn(todo[1:-1], start)
        steps: list[Step] = []
        for number, operation in enumerate(todo):
            steps += self._steps(operation, todo[number + 1 :])
        return Net(entry, tuple(steps), self.known[last], channel_last)

    def _check_floats(self, todo: Sequence[_Operation]) -> None:
        """ModelError with the operations that compute on floats, of the first module that has some."""
        inner = [one for one in todo if one.kind not in ("QUANTIZE", "DEQUANTIZE")]
        floats = [one for one in inner if any(self.raw(number).type == FLOAT32 for number in self.computed(one))]
        if floats:
            place = self.place(floats[0])
            found = ", ".join(dict.fromkeys(one.kind for one in floats if self.place(one) == place))
            raise self.refused(f"{found} {place}, left in float", "operations that LiteRT holds as integers")

    def _without_first_turn(self, todo: list[_Operation], start: int) -> tuple[list[_Operation], Tensor, bool]:
        """Leave out what turns the input's channels last, where that is all that is done with it."""
        shape = self.shape(start)
        order = np.arange(prod(shape)).reshape(shape)
        wanted, rest, at = np.moveaxis(order, 0, -1).ravel(), todo, start
        while True:
            if order.ndim > 1 and np.array_equal(order.ravel(), wanted):
                self.known[at] = self.tensor(at)
                return rest, self.known[at], True
            if not rest or rest[0].inputs[0] != at or sum(at in one.inputs for one in todo) > 1:
                break
            if rest[0].kind == "TRANSPOSE":
                order = order.transpose(self.axes(rest[0]))
            elif rest[0].kind == "RESHAPE":
                order = order.reshape(self.shape(rest[0].output))
            else:
                break
            at, rest = rest[0].output, rest[1:]
        self.known[start] = self.tensor(start)
        return todo, self.known[start], len(shape) == 1

    def _steps(self, operation: _Operation, later: Sequence[_Operation]) -> list[Step]:
        users = [one for one in later if operation.output in one.inputs]
        make = MAKERS.get(operation.kind)
        if make is None:
            raise self.refused(f"{operation.kind} {self.place(operation)}", KNOWN)
        if operation.kind not in ANY_AXES and any(list(self.raw(n).shape)[:1] != [1] for n in self.computed(operation)):
            raise self.refused(f"{operation.kind} {self.place(operation)}, not on one row", "a batch of 1 throughout")
        if operation.kind == "PAD" and self._pads(operation, users):
            return []
        if operation.kind == "TRANSPOSE" and users and all(one.kind == "MEAN" for one in users):
            self.turns[operation.output] = (operation.inputs[0], self.axes(operation))
            return []
        return make(self, operation)

    def _pads(self, pad: _Operation, users: Sequence[_Operation]) -> bool:
        """Whether every user of a PAD is a convolution that pads nothing itself; it is noted for them then."""
        sides = tuple((int(a), int(b)) for a, b in self.values(pad.inputs[1])[1:])
        plain = len(sides) == 3 and sides[2] == (0, 0)
        if not plain or not users or not all(one.kind in CONVOLUTIONS and one.options.padding != SAME for one in users):
            return False
        self.pads[pad.output] = (pad.inputs[0], sides)
        return True

    def raw(self, number: int) -> Any:
        return self.model.subgraphs[0].tensors[number]

    def label(self, number: int) -> str:
        return str(self.raw(number).name.decode())

    def place(self, operation: _Operation) -> str:
        return place_of(operation.kind, self.label(operation.output))

    def computed(self, operation: _Operation) -> list[int]:
        """The tensors that an operation takes and makes, without constants."""
        found = (number for number in (*operation.inputs, operation.output) if number >= 0)
        return [number for number in found if self.model.buffers[self.raw(number).buffer].data is None]

    def shape(self, number: int) -> tuple[int, ...]:
        """Without the batch, which is 1; whole where rows lie in its place."""
        sides = tuple(int(side) for side in self.raw(number).shape)
        return sides[1:] if sides[:1] == (1,) else sides

    def values(self, number: int) -> np.ndarray:
        """A constant's numbers, in its whole shape; int4 is unpacked."""
        raw = self.raw(number)
        if raw.type in INTEGERS:
            return integers_of(self.model, raw)
        if raw.type != INT32:
            raise self.refused(f"{self.label(number)} is not of integers", "integer weights throughout")
        return np.asarray(self.model.buffers[raw.buffer].data, np.uint8).view(np.int32).reshape(raw.shape)

    def tensor(self, number: int) -> Tensor:
        """A tensor of the file, as itself or as what it has become."""
        if number in self.known:
            return self.known[number]
        raw = self.raw(number)
        if raw.type != INT8:
            raise self.refused(f"{self.label(number)} is not int8", "integers throughout: no layer kept float")
        grid = raw.quantization
        constant = self.values(number) if self.model.buffers[raw.buffer].data is not None else None
        shape = constant.shape if constant is not None else self.shape(number)
        scale, zero = float(np.float32(grid.scale[0])), int(grid.zeroPoint[0])
        return Tensor(self.label(number), shape, scale, zero, number, constant)

    def made(self, operation: _Operation) -> Tensor:
        """The tensor that an operation makes."""
        self.known[operation.output] = self.tensor(operation.output)
        return self.known[operation.output]

    def clip(self, operation: _Operation) -> tuple[int, int]:
        """What a fused activation leaves of the output's integers."""
        output = self.tensor(operation.output)
        fused = operation.options.fusedActivationFunction
        low = max(LOWEST, output.zero_point) if fused in (RECTIFY, RECTIFY_6) else LOWEST
        if fused not in (0, RECTIFY, RECTIFY_6):
            raise self.refused(f"activation {fused} fused at {output.name}", "none, ReLU or ReLU6")
        high = HIGHEST if fused != RECTIFY_6 else min(HIGHEST, output.zero_point + _nearest(6.0 / output.scale))
        return low, high

    def axes(self, operation: _Operation) -> tuple[int, ...]:
        """The axes of a TRANSPOSE without the batch."""
        axes = [int(one) for one in self.values(operation.inputs[1])]
        if axes[0] != 0:
            raise self.refused(f"{self.label(operation.output)} turns the batch", "operations on one row")
        return tuple(one - 1 for one in axes[1:])

    def refused(self, given: str, expected: str) -> ModelError:
        return ModelError(
            given=f"{self.name} cannot become plain C: {given}",
            expected=expected,
            todo="put other operations there, quantize all of it (keep nothing float), or choose "
            + ("tflite-micro or litert" if set(kinds(self.model)) <= OPERATIONS else "litert"),
        )


def _convolution(reader: _Reader, operation: _Operation) -> list[Step]:
    source, extra = reader.pads.get(operation.inputs[0], (operation.inputs[0], ((0, 0), (0, 0), (0, 0))))
    entry, output, options = reader.tensor(source), reader.made(operation), operation.options
    weight, depthwise = reader.values(operation.inputs[1]), operation.kind == "DEPTHWISE_CONV_2D"
    if depthwise:
        weight = np.moveaxis(weight, -1, 0).reshape(weight.shape[3], *weight.shape[1:3], 1)
    stride = (int(options.strideH), int(options.strideW))
    dilation = (int(options.dilationHFactor), int(options.dilationWFactor))
    pad = (extra[0][0], extra[1][0])
    if options.padding == SAME:
        reach = [(size - 1) * step + 1 for size, step in zip(weight.shape[1:3], dilation, strict=True)]
        pad = _same(entry.shape[:2], output.shape[:2], reach, stride)
    groups = entry.shape[2] // weight.shape[3]
    step = Convolution(
        inputs=(entry,),
        output=output,
        weight=weight,
        scales=_scales(reader, operation.inputs[1], len(weight)),
        bias=_bias(reader, operation, len(weight)),
        group_out=len(weight) // groups,
        stride=stride,
        dilation=dilation,
        pad=pad,
        clip=reader.clip(operation),
    )
    return [step]


def _dense(reader: _Reader, operation: _Operation) -> list[Step]:
    """Over the last axis: a 1 x 1 convolution of as many pixels as there are rows."""
    entry, output = reader.tensor(operation.inputs[0]), reader.made(operation)
    weight = reader.values(operation.inputs[1])
    rows = output.size // len(weight)
    step = Convolution(
        inputs=(replace(entry, shape=(1, rows, weight.shape[1])),),
        output=replace(output, shape=(1, rows, len(weight))),
        weight=weight.reshape(len(weight), 1, 1, -1),
        scales=_scales(reader, operation.inputs[1], len(weight)),
        bias=_bias(reader, operation, len(weight)),
        group_out=len(weight),
        stride=(1, 1),
        dilation=(1, 1),
        pad=(0, 0),
        clip=reader.clip(operation),
    )
    return [step]


def _scales(reader: _Reader, number: int, channels: int) -> np.ndarray:
    scales = np.asarray(reader.raw(number).quantization.scale, np.float32)
    return scales if len(scales) == channels else np.full(channels, scales[0], np.float32)


def _bias(reader: _Reader, operation: _Operation, channels: int) -> np.ndarray:
    if len(operation.inputs) < 3 or operation.inputs[2] < 0:
        return np.zeros(channels, np.int32)
    return reader.values(operation.inputs[2])


def _pool(reader: _Reader, operation: _Operation) -> list[Step]:
    entry, output, options = reader.tensor(operation.inputs[0]), reader.made(operation), operation.options
    kernel = (int(options.filterHeight), int(options.filterWidth))
    stride = (int(options.strideH), int(options.strideW))
    pad = _same(entry.shape[:2], output.shape[:2], kernel, stride) if options.padding == SAME else (0, 0)
    mean = operation.kind == "AVERAGE_POOL_2D"
    if (entry.scale, entry.zero_point) != (output.scale, output.zero_point):
        raise reader.refused(f"{output.name} has another grid than what it pools", "one grid for both")
    return [Pooling((entry,), output, kernel, stride, pad, reader.clip(operation), mean)]


def _mean(reader: _Reader, operation: _Operation) -> list[Step]:
    number = operation.inputs[0]
    source, order = reader.turns.get(number, (number, tuple(range(len(reader.shape(number))))))
    entry, output = reader.tensor(source), reader.made(operation)
    strides = strides_of(entry.shape)
    axes = tuple(sorted(int(axis) % (len(order) + 1) - 1 for axis in reader.values(operation.inputs[1]).ravel()))
    if axes[:1] == (-1,):
        raise reader.refused(f"MEAN {reader.place(operation)}, over the batch", "means over axes of one row")
    return [Mean((entry,), output, reader.shape(number), tuple(strides[axis] for axis in order), axes)]


def _combination(reader: _Reader, operation: _Operation) -> list[Step]:
    a, b = (reader.tensor(number) for number in operation.inputs)
    output = reader.made(operation)
    return [Combination((a, b), output, reader.clip(operation), operation.kind == "MUL")]


def _lookup(reader: _Reader, operation: _Operation) -> list[Step]:
    entry, output = reader.tensor(operation.inputs[0]), reader.made(operation)
    slope = float(getattr(operation.options, "alpha", 0.0) or 0.0)
    return [Lookup((entry,), output, answers(operation.kind, entry, output, slope))]


def _reshape(reader: _Reader, operation: _Operation) -> list[Step]:
    entry = reader.tensor(operation.inputs[0])
    reader.known[operation.output] = replace(entry, shape=reader.shape(operation.output))
    return []


def _transpose(reader: _Reader, operation: _Operation) -> list[Step]:
    entry, output, axes = reader.tensor(operation.inputs[0]), reader.made(operation), reader.axes(operation)
    strides = strides_of(entry.shape)
    return [
        Arrangement((entry,), output, output.shape, tuple(strides[axis] for axis in axes), strides_of(output.shape))
    ]


def _padding(reader: _Reader, operation: _Operation) -> list[Step]:
    entry, output = reader.tensor(operation.inputs[0]), reader.made(operation)
    before = [int(a) for a, _ in reader.values(operation.inputs[1])[1:]]
    strides = strides_of(output.shape)
    first = sum(count * stride for count, stride in zip(before, strides, strict=True))
    fill = entry.zero_point
    if len(operation.inputs) > 2:
        fill = int(reader.values(operation.inputs[2]).ravel()[0])
    return [Arrangement((entry,), output, entry.shape, strides_of(entry.shape), strides, 0, first, fill)]


def _concatenation(reader: _Reader, operation: _Operation) -> list[Step]:
    output = reader.made(operation)
    strides = strides_of(output.shape)
    axis = int(operation.options.axis) % (len(output.shape) + 1) - 1
    steps: list[Step] = []
    first = 0
    for number in operation.inputs:
        entry = reader.tensor(number)
        if (entry.scale, entry.zero_point) != (output.scale, output.zero_point):
            raise reader.refused(f"{entry.name} has another grid than {output.name}, which it is joined to", "one grid")
        steps.append(Arrangement((entry,), output, entry.shape, strides_of(entry.shape), strides, 0, first))
        first += entry.shape[axis] * strides[axis]
    return steps


def _slice(reader: _Reader, operation: _Operation) -> list[Step]:
    entry, output = reader.tensor(operation.inputs[0]), reader.made(operation)
    begin = [int(one) for one in reader.values(operation.inputs[1]).ravel()[1:]]
    plain = min(begin, default=0) >= 0
    if operation.kind == "STRIDED_SLICE":
        plain &= set(reader.values(operation.inputs[3]).ravel().tolist()) == {1}
        plain &= not any(getattr(operation.options, mask) for mask in MASKS)
    if not plain:
        raise reader.refused(
            f"{output.name} is cut by steps, masks or from the end", "neighbours, from a place on each axis"
        )
    strides = strides_of(entry.shape)
    first = sum(place * stride for place, stride in zip(begin, strides, strict=True))
    return [Arrangement((entry,), output, output.shape, strides, strides_of(output.shape), first)]


def _same(
    inside: Sequence[int], outside: Sequence[int], kernel: Sequence[int], stride: Sequence[int]
) -> tuple[int, int]:
    """Rows above and columns left where TensorFlow's SAME pads: the smaller half."""
    top, left = (max((o - 1) * s + k - i, 0) // 2 for i, o, k, s in zip(inside, outside, kernel, stride, strict=True))
    return top, left


def _nearest(value: float) -> int:
    return int(np.floor(value + 0.5))


CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})
MAKERS: Mapping[str, Callable[[_Reader, _Operation], list[Step]]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _dense,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
    "MEAN": _mean,
    "ADD": _combination,
    "MUL": _combination,
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "TRANSPOSE": _transpose,
    "PAD": _padding,
    "PADV2": _padding,
    "CONCATENATION": _concatenation,
    "SLICE": _slice,
    "STRIDED_SLICE": _slice,
    **dict.fromkeys(FUNCTIONS, _lookup),
}
KNOWN = f"one of {', '.join(sorted(MAKERS))}"
ANY_AXES = frozenset({"FULLY_CONNECTED", "ADD", "MUL", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", *FUNCTIONS})
"""Operations that name no axis, so that rows may lie in the batch's place."""
