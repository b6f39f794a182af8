"""What an integer .tflite file holds, read from the file itself: its grids, its weights, and the layers that are integer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from galenic.exporters.litert_file import GROUPED, OUTPUT, WEIGHT_POSITION, Operation, is_constant, operations
from galenic.exporters.litert_grids import Grids
from galenic.exporters.litert_recipe import channel_axis
from galenic.exporters.matching import refuse_unmatched, weights
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantPoint, QuantSpec
from galenic.zoo.graph import graph_tensor, layers, outputs_first

INT8, INT4 = 9, 17  # TensorTypes of the schema
INTEGERS = frozenset({INT8, INT4})
LOWEST = -128  # int8 for what is 0 in our grids
QUANTIZED, DEQUANTIZED = "_quantized", "_dequant"  # what ai-edge-quantizer adds to a tensor's name
SHORT = {QUANTIZED: ":q", DEQUANTIZED: ":dq"}


def rounded_tensors(file: Any, grids: Grids) -> set[str]:
    """Our tensors that the file rounds to their own grid.

    A tensor that is only made for a concatenation, or by an operation that keeps its input's grid, may have that neighbour's:
    it is rounded with it, and not before.

    Raises:
        ModelError: a tensor has neither its own grid nor a neighbour's.
    """
    found, held, near, unknown = set(), _held_grids(file), _neighbours(file), []
    for name, grid in held.items():
        tensor = name.removesuffix(QUANTIZED)
        own = grids.grids.get(tensor)
        if own is not None and grid == _as_held(own):
            found |= {grids.ours[tensor]} if tensor in grids.ours else set()
        elif not any(held.get(other) == grid for other in near[name] - {name}):
            unknown.append(name)
    refuse_unmatched("LiteRT", unknown)
    return found


def check_weights_held(file: Any, parts: Sequence[Operation], graph: fx.GraphModule, spec: QuantSpec) -> None:
    """ModelError unless each layer with a point has our integers in the file, whatever their order within a channel.

    Args:
        file: quantized.
        parts: the operations of the float file that it is made of.
        graph: of the model.
        spec: the weights' points.
    """
    tensors = {tensor.name.decode(): tensor for tensor in file.subgraphs[0].tensors}
    points, nodes, seen = weights(spec.points), layers(graph), set()
    for operation in parts:
        if operation.layer not in points:
            continue
        seen.add(operation.layer)
        name, point = operation.constants[WEIGHT_POSITION].name.decode(), points[operation.layer]
        weight = tensors[f"{name}{GROUPED}" if point.group_size else name]
        rows = _rows(graph, nodes[operation.layer])
        if point.group_size:
            rows = rows.reshape(-1, point.group_size)
        if not _is_held(file, weight, 0 if point.group_size else channel_axis(operation), rows, point):
            raise ModelError(
                given=f"weights of {operation.layer} in the LiteRT file that are other numbers than the model's",
                expected="weights on the grids of their points",
                todo="keep this layer float (keep = [...]), or report what module it is",
            )
    if points.keys() - seen:
        raise ModelError(
            given=f"a LiteRT file without the layer {sorted(points.keys() - seen)[0]}",
            expected="every integer layer of the model, by its name",
            todo="keep this layer float (keep = [...]), or report what module it is",
        )


def count_integer(file: Any, graph: fx.GraphModule, spec: QuantSpec) -> IntegerOps:
    """Convolutions and dense layers that compute on integers in the file.

    Their weights are int8 or int4, and so are their activations; or, for DYNAMIC, LiteRT rounds these in each call.
    """
    types = {tensor.name.decode(): tensor.type for tensor in file.subgraphs[0].tensors}
    dynamic = spec.rule.arithmetic is Arithmetic.DYNAMIC
    integer = {
        operation.layer
        for operation, _ in _integer_weights(file)
        if dynamic or all(types[name] == INT8 for name in (*operation.inputs, operation.output))
    }
    names = tuple(layers(graph))
    floating = tuple(name for name in names if name not in integer)
    asked = 0 if spec.rule.arithmetic is Arithmetic.WEIGHTS else len(names) - len(spec.stays_float)
    return IntegerOps(integer=len(names) - len(floating), floating=len(floating), expected=asked, left_float=floating)


def integers_of(file: Any, tensor: Any) -> np.ndarray:
    """The values of an int8 or int4 constant, in its shape."""
    stored = np.asarray(file.buffers[tensor.buffer].data, np.uint8)
    if tensor.type == INT4:  # two to a byte, the first in the lower half
        stored = np.stack([stored << 4, stored & 0xF0], axis=1).reshape(-1)[: int(np.prod(tensor.shape))]
        return (stored.view(np.int8) >> 4).reshape(tensor.shape)
    return stored.view(np.int8).reshape(tensor.shape)


def shorten_names(file: Any) -> None:
    """Give what ai-edge-quantizer put in a short name, and the answer its own again, in place."""
    graph = file.subgraphs[0]
    answer = graph.tensors[graph.outputs[0]]
    for tensor in graph.tensors:
        name = tensor.name.decode()
        for suffix, short in SHORT.items():
            if name.endswith(suffix):
                name = name.removesuffix(suffix) + short
        tensor.name = (f"{OUTPUT}:q" if name == OUTPUT and tensor is not answer else name).encode()
    answer.name = OUTPUT.encode()


def _rows(graph: fx.GraphModule, node: fx.Node) -> np.ndarray:
    """A layer's weights of our model: (output channels, weights of one)."""
    weight = graph_tensor(graph, node.args[1]).detach()
    turned = outputs_first(node, weight)
    return turned.reshape(len(turned), -1).double().numpy()


def _is_held(file: Any, weight: Any, axis: int, rows: np.ndarray, point: QuantPoint) -> bool:
    """Whether a weight of the file has a layer's scales and integers; ``axis`` counts its output channels."""
    if weight.type not in INTEGERS:
        return False
    scales = np.broadcast_to(np.array(point.scale, np.float32), len(rows))
    theirs = np.moveaxis(integers_of(file, weight), axis, 0).reshape(rows.shape)
    same = np.array_equal(np.sort(theirs, axis=1), np.sort(np.rint(rows / scales[:, None]), axis=1))
    return same and np.array_equal(np.asarray(weight.quantization.scale, np.float32), scales)


def _integer_weights(file: Any) -> list[tuple[Operation, Any]]:
    found = [(one, one.constants[WEIGHT_POSITION]) for one in operations(file) if one.layer]
    return [(operation, weight) for operation, weight in found if weight.type in INTEGERS]


def _held_grids(file: Any) -> dict[str, tuple[float, int]]:
    """The scale and the zero point of each int8 activation, by name."""
    held = {}
    for tensor in file.subgraphs[0].tensors:
        if tensor.type == INT8 and not is_constant(file, tensor):
            (scale,), (zero_point,) = tensor.quantization.scale, tensor.quantization.zeroPoint
            held[tensor.name.decode()] = (float(np.float32(scale)), int(zero_point))
    return held


def _as_held(point: QuantPoint) -> tuple[float, int]:
    return float(np.float32(point.scale[0])), point.zero_point[0] + LOWEST


def _neighbours(file: Any) -> dict[str, set[str]]:
    """The tensors of all operations that make or take a tensor, by its name."""
    near: dict[str, set[str]] = {}
    for operation in operations(file):
        ends = {*operation.inputs, operation.output}
        for name in ends:
            near.setdefault(name, set()).update(ends)
    return near
