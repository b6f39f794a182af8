"""The input of a .tflite file with the channel last, as LiteRT's kernels want it: (1, height, width, channel), (1, time, channel).

    input -> [QUANTIZE] -> TRANSPOSE, RESHAPE ... -> net        becomes        input -> [QUANTIZE] -> [RESHAPE] -> net
where these move nothing but the channel, so that rows with the channel last are in the net's order already; the RESHAPE is left
only where the net sees other sides (1-D nets are convolutions of height 1), and copies nothing. A file stays channels first where
something else comes first, and where its shape would not tell one layout from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from galenic.exporters.litert_builder import Builder
from galenic.exporters.litert_file import kinds, packed, unpacked

ROUNDING = "QUANTIZE"
MOVING = frozenset({"TRANSPOSE", "RESHAPE"})
LEAST_RANK = 3  # (1, channel, ...): a table has no layout


def channels_last(data: bytes) -> bytes:
    """The bytes of the file that takes (1, ..., channel); those of ``data`` where it has to stay channels first."""
    file = unpacked(data)
    graph = file.subgraphs[0]
    first = _sides(graph.tensors[graph.inputs[0]])
    last = (*first[:1], *first[2:], *first[1:2])
    steps = _leading(file, last) if len(first) >= LEAST_RANK and first != last else []
    if not steps:
        return data
    _relink(file, steps, last)
    _drop_unused(file)
    return packed(file)


def _leading(file: Any, last: tuple[int, ...]) -> list[tuple[str, Any]]:
    """The operations, with their kinds, from the input to where the values lie as in an input of shape ``last``; [] for nowhere."""
    graph, operators = file.subgraphs[0], list(zip(kinds(file), file.subgraphs[0].operators, strict=True))
    tensor = int(graph.inputs[0])
    values = np.arange(np.prod(last)).reshape(_sides(graph.tensors[tensor]))
    wanted, steps, found = np.moveaxis(values, 1, -1).ravel(), list[tuple[str, Any]](), 0
    while True:
        if any(kind in MOVING for kind, _ in steps) and np.array_equal(values.ravel(), wanted):
            found = len(steps)
        users = [(kind, operator) for kind, operator in operators if tensor in operator.inputs]
        if len(users) != 1 or users[0][0] not in MOVING | {ROUNDING}:
            return steps[:found]
        kind, operator = users[0]
        if kind == "TRANSPOSE":
            order = graph.tensors[operator.inputs[1]]
            values = values.transpose(np.asarray(file.buffers[order.buffer].data, np.uint8).view(np.int32))
        tensor = int(operator.outputs[0])
        values = values.reshape(_sides(graph.tensors[tensor]))
        steps.append((kind, operator))


def _relink(file: Any, steps: Sequence[tuple[str, Any]], last: tuple[int, ...]) -> None:
    """Take what moves out of the graph: the net then gets what the input, or its QUANTIZE, is in shape ``last``."""
    graph, end = file.subgraphs[0], int(steps[-1][1].outputs[0])
    current = int(graph.inputs[0])
    _set_shape(graph.tensors[current], last)
    for kind, operator in steps:
        if kind == ROUNDING:
            operator.inputs = np.array([current], np.int32)
            current = int(operator.outputs[0])
            _set_shape(graph.tensors[current], last)
    moving = [operator for kind, operator in steps if kind in MOVING]
    kept, place = graph.operators, next(n for n, one in enumerate(graph.operators) if one is steps[-1][1])
    fresh = []
    if current != end and _sides(graph.tensors[end]) != last:
        made = [int(operator.outputs[0]) for kind, operator in steps if kind == "RESHAPE"]
        graph.tensors[end].name = name = graph.tensors[[end, *made][-1]].name  # which tells what makes it
        fresh = [Builder(file).reshape(current, end, _sides(graph.tensors[end]), name.decode())]
    elif current != end:
        for operator in kept:
            operator.inputs = np.where(np.asarray(operator.inputs) == end, current, operator.inputs).astype(np.int32)
    whole = [*kept[: place + 1], *fresh, *kept[place + 1 :]]
    graph.operators = [one for one in whole if not any(one is gone for gone in moving)]


def _drop_unused(file: Any) -> None:
    """Take out the tensors that no operation takes or makes any more."""
    graph = file.subgraphs[0]
    ends = [graph.inputs, graph.outputs, *(part for one in graph.operators for part in (one.inputs, one.outputs))]
    used = sorted({int(number) for part in ends for number in part if number >= 0})
    places = {number: place for place, number in enumerate(used)} | {-1: -1}
    graph.tensors = [graph.tensors[number] for number in used]
    graph.inputs, graph.outputs = _numbered(graph.inputs, places), _numbered(graph.outputs, places)
    for operator in graph.operators:
        operator.inputs, operator.outputs = _numbered(operator.inputs, places), _numbered(operator.outputs, places)
    for signature in file.signatureDefs or ():
        for end in (*signature.inputs, *signature.outputs):
            end.tensorIndex = places[int(end.tensorIndex)]


def _numbered(tensors: Sequence[int], places: dict[int, int]) -> np.ndarray:
    return np.array([places[int(number)] for number in tensors], np.int32)


def _sides(tensor: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in np.atleast_1d(tensor.shape))


def _set_shape(tensor: Any, shape: tuple[int, ...]) -> None:
    tensor.shape, tensor.shapeSignature = np.array(shape, np.int32), None
