"""Each operation of an INT8 .tflite file as steps for plain C."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from galenic.exporters.c_functions import FUNCTIONS, answers
from galenic.exporters.c_reader import Operation, Reader
from galenic.exporters.c_steps import Arrangement, Combination, Convolution, Lookup, Mean, Pooling, Step, strides_of

SAME = 0  # Padding of LiteRT's schema
MASKS = ("beginMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")  # its StridedSliceOptions; endMask moves nothing


def _convolution(reader: Reader, operation: Operation) -> list[Step]:
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


def _dense(reader: Reader, operation: Operation) -> list[Step]:
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


def _scales(reader: Reader, number: int, channels: int) -> np.ndarray:
    scales = np.asarray(reader.raw(number).quantization.scale, np.float32)
    return scales if len(scales) == channels else np.full(channels, scales[0], np.float32)


def _bias(reader: Reader, operation: Operation, channels: int) -> np.ndarray:
    if len(operation.inputs) < 3 or operation.inputs[2] < 0:
        return np.zeros(channels, np.int32)
    return reader.values(operation.inputs[2])


def _pool(reader: Reader, operation: Operation) -> list[Step]:
    (entry, output), options = reader.copied(operation, operation.inputs[0]), operation.options
    kernel = (int(options.filterHeight), int(options.filterWidth))
    stride = (int(options.strideH), int(options.strideW))
    pad = _same(entry.shape[:2], output.shape[:2], kernel, stride) if options.padding == SAME else (0, 0)
    mean = operation.kind == "AVERAGE_POOL_2D"
    return [Pooling((entry,), output, kernel, stride, pad, reader.clip(operation), mean)]


def _mean(reader: Reader, operation: Operation) -> list[Step]:
    number = operation.inputs[0]
    source, order = reader.turns.get(number, (number, tuple(range(len(reader.shape(number))))))
    entry, output = reader.tensor(source), reader.made(operation)
    strides = strides_of(entry.shape)
    axes = tuple(sorted(int(axis) % (len(order) + 1) - 1 for axis in reader.values(operation.inputs[1]).ravel()))
    if axes[:1] == (-1,):
        raise reader.refused(f"MEAN {reader.place(operation)}, over the batch", "means over axes of one row")
    return [Mean((entry,), output, reader.shape(number), tuple(strides[axis] for axis in order), axes)]


def _combination(reader: Reader, operation: Operation) -> list[Step]:
    a, b = (reader.tensor(number) for number in operation.inputs)
    output = reader.made(operation)
    return [Combination((a, b), output, reader.clip(operation), operation.kind == "MUL")]


def _lookup(reader: Reader, operation: Operation) -> list[Step]:
    entry, output = reader.tensor(operation.inputs[0]), reader.made(operation)
    slope = float(getattr(operation.options, "alpha", 0.0) or 0.0)
    return [Lookup((entry,), output, answers(operation.kind, entry, output, slope))]


def _reshape(reader: Reader, operation: Operation) -> list[Step]:
    entry = reader.tensor(operation.inputs[0])
    reader.known[operation.output] = replace(entry, shape=reader.shape(operation.output))
    return []


def _transpose(reader: Reader, operation: Operation) -> list[Step]:
    (entry, output), axes = reader.copied(operation, operation.inputs[0]), reader.axes(operation)
    strides = strides_of(entry.shape)
    return [
        Arrangement((entry,), output, output.shape, tuple(strides[axis] for axis in axes), strides_of(output.shape))
    ]


def _padding(reader: Reader, operation: Operation) -> list[Step]:
    entry, output = reader.copied(operation, operation.inputs[0])
    before = [int(a) for a, _ in reader.values(operation.inputs[1])[1:]]
    strides = strides_of(output.shape)
    first = sum(count * stride for count, stride in zip(before, strides, strict=True))
    fill = entry.zero_point
    if len(operation.inputs) > 2:
        fill = int(reader.values(operation.inputs[2]).ravel()[0])
    return [Arrangement((entry,), output, entry.shape, strides_of(entry.shape), strides, 0, first, fill)]


def _concatenation(reader: Reader, operation: Operation) -> list[Step]:
    strides = strides_of(reader.shape(operation.output))
    axis = int(operation.options.axis) % (len(strides) + 1) - 1
    steps: list[Step] = []
    first = 0
    for number in operation.inputs:
        entry, output = reader.copied(operation, number)
        steps.append(Arrangement((entry,), output, entry.shape, strides_of(entry.shape), strides, 0, first))
        first += entry.shape[axis] * strides[axis]
    return steps


def _slice(reader: Reader, operation: Operation) -> list[Step]:
    entry, output = reader.copied(operation, operation.inputs[0])
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


CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})
MAKERS: Mapping[str, Callable[[Reader, Operation], list[Step]]] = {
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
