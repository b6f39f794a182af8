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

from collections.abc import Sequence
from math import prod

import numpy as np

from galenic.exporters.c_makers import ANY_AXES, CONVOLUTIONS, KNOWN, MAKERS, SAME
from galenic.exporters.c_reader import Operation, Reader
from galenic.exporters.c_steps import Net, Step, Tensor
from galenic.exporters.litert_file import FLOAT32, kinds, unpacked


def read(data: bytes, name: str) -> Net:
    """The steps of an INT8 .tflite file.

    Args:
        data: the file, of one graph for one row, with integers from its QUANTIZE to its DEQUANTIZE.
        name: of the model, for errors.

    Raises:
        ModelError: an operation that no kernel here computes, or one that is not on int8.
    """
    reader = Reader(unpacked(data), name)
    graph = reader.model.subgraphs[0]
    todo = [
        Operation(kind, [int(one) for one in op.inputs], int(op.outputs[0]), op.builtinOptions)
        for kind, op in zip(kinds(reader.model), graph.operators, strict=True)
    ]
    _check_floats(reader, todo)
    if len(todo) < 3 or (todo[0].kind, todo[-1].kind) != ("QUANTIZE", "DEQUANTIZE"):
        raise reader.refused("its ends are not integers", "a net that is quantized from its input to its logits")
    start, last = todo[0].output, todo[-1].inputs[0]
    todo, entry, channel_last = _without_first_turn(reader, todo[1:-1], start)
    steps: list[Step] = []
    for number, operation in enumerate(todo):
        steps += _steps(reader, operation, todo[number + 1 :])
    return Net(entry, tuple(steps), reader.known[last], channel_last)


def _check_floats(reader: Reader, todo: Sequence[Operation]) -> None:
    """ModelError with the operations that compute on floats, of the first module that has some."""
    inner = [one for one in todo if one.kind not in ("QUANTIZE", "DEQUANTIZE")]
    floats = [one for one in inner if any(reader.raw(number).type == FLOAT32 for number in reader.computed(one))]
    if floats:
        place = reader.place(floats[0])
        found = ", ".join(dict.fromkeys(one.kind for one in floats if reader.place(one) == place))
        raise reader.refused(f"{found} {place}, left in float", "operations that LiteRT holds as integers")


def _without_first_turn(reader: Reader, todo: list[Operation], start: int) -> tuple[list[Operation], Tensor, bool]:
    """Leave out what turns the input's channels last, where that is all that is done with it."""
    shape = reader.shape(start)
    order = np.arange(prod(shape)).reshape(shape)
    wanted, rest, at = np.moveaxis(order, 0, -1).ravel(), todo, start
    while True:
        if order.ndim > 1 and np.array_equal(order.ravel(), wanted):
            reader.known[at] = reader.tensor(at)
            return rest, reader.known[at], True
        if not rest or rest[0].inputs[0] != at or sum(at in one.inputs for one in todo) > 1:
            break
        if rest[0].kind == "TRANSPOSE":
            order = order.transpose(reader.axes(rest[0]))
        elif rest[0].kind == "RESHAPE":
            order = order.reshape(reader.shape(rest[0].output))
        else:
            break
        at, rest = rest[0].output, rest[1:]
    reader.known[start] = reader.tensor(start)
    return todo, reader.known[start], len(shape) == 1


def _steps(reader: Reader, operation: Operation, later: Sequence[Operation]) -> list[Step]:
    users = [one for one in later if operation.output in one.inputs]
    make = MAKERS.get(operation.kind)
    if make is None:
        raise reader.refused(f"{operation.kind} {reader.place(operation)}", KNOWN)
    if operation.kind not in ANY_AXES and any(list(reader.raw(n).shape)[:1] != [1] for n in reader.computed(operation)):
        raise reader.refused(f"{operation.kind} {reader.place(operation)}, not on one row", "a batch of 1 throughout")
    if operation.kind == "PAD" and _pads(reader, operation, users):
        return []
    if operation.kind == "TRANSPOSE" and users and all(one.kind == "MEAN" for one in users):
        reader.turns[operation.output] = (operation.inputs[0], reader.axes(operation))
        return []
    return make(reader, operation)


def _pads(reader: Reader, pad: Operation, users: Sequence[Operation]) -> bool:
    """Whether every user of a PAD is a convolution that pads nothing itself; it is noted for them then."""
    sides = tuple((int(a), int(b)) for a, b in reader.values(pad.inputs[1])[1:])
    plain = len(sides) == 3 and sides[2] == (0, 0)
    if not plain or not users or not all(one.kind in CONVOLUTIONS and one.options.padding != SAME for one in users):
        return False
    reader.pads[pad.output] = (pad.inputs[0], sides)
    return True
