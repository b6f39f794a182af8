"""A QDQ file as TensorRT wants it, from one with unsigned activations: symmetric int8, float biases, and ReLUs of their own.

    real = scale * integer, -128 <= integer <= 127        scale = max(|low|, |high|) / 127 of the unsigned grid's range
    biases     float: TensorRT has no int32 tensors in a graph, and adds a bias to its sums itself
    kept       a float layer takes what is before a rounding, not what is behind it
    ReLU       again its own operation: an unsigned grid cuts below 0 by itself, a symmetric one does not
A tensor that is never negative has 128 of 256 levels left, and steps twice as wide. The grids of gates become ones on which a half,
which every gate gives that is dead, is an integer too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from galenic.exporters.onnx_graph import WEIGHTED_OPS
from galenic.exporters.onnx_qdq import DQ, Q, drop_unused
from galenic.record.quant import QuantPoint, QuantSpec, TensorRole

HIGHEST, ZERO = 127, 128
"""Of the signed integers; and the zero point of the same grid where integers count from 0, as a QuantPoint has it."""
BITS = 8
GATES: Mapping[float, float] = {
    float(np.float32(1 / 256)): 1 / 128,
    float(np.float32(1 / 254)): float(np.float32(1 / 126)),
}
"""The scales of sigmoids and hardsigmoids (their zero point is 0) -> of their symmetric grids: 64 and 63 steps are a half."""
REMOVED = frozenset({"Relu", "Clip"})
"""What ONNX Runtime's quantizer takes out where the unsigned grid behind it does the same."""


def symmetric_scale(scale: float, zero_point: int) -> float:
    """The scale of the symmetric int8 grid for the range of an unsigned 8-bit one; float32."""
    if zero_point == 0 and scale in GATES:
        return GATES[scale]
    steps = max(zero_point, 2**BITS - 1 - zero_point)
    return float(np.float32(np.float32(scale) * steps / HIGHEST))


def symmetric_point(point: QuantPoint) -> QuantPoint:
    """The same of a QuantPoint; a weight's grid is symmetric already."""
    if point.role is TensorRole.WEIGHT:
        return point
    scale = symmetric_scale(point.scale[0], point.zero_point[0])
    return point.model_copy(update={"scale": (scale,), "zero_point": (ZERO,)})


def symmetric_spec(spec: QuantSpec) -> QuantSpec:
    """The specification of a file for TensorRT: what it was quantized with is said in a note."""
    activations = [point for point in spec.points if point.role is not TensorRole.WEIGHT]
    halved = sum(point.zero_point[0] == 0 for point in activations)
    note = (
        f"TensorRT's activations are symmetric int8: of {len(activations)} tensors {halved} are never negative and have half of "
        "their levels left; the file and its simulation have these grids, not those that were calibrated"
    )
    points = tuple(symmetric_point(point) for point in spec.points)
    return spec.model_copy(update={"points": points, "notes": (*spec.notes, note)})


def to_symmetric(quantized: ModelProto, graph: ModelProto) -> None:
    """Give a QDQ graph symmetric activations, float biases and its ReLUs, in place.

    Args:
        quantized: as ``onnx_qdq.to_qdq`` makes it.
        graph: the float graph that it was made of.
    """
    restore_rectifiers(quantized, graph)
    restore_biases(quantized, graph)
    constants = {tensor.name: tensor for tensor in quantized.graph.initializer}
    for node in quantized.graph.node:
        if node.op_type not in {Q, DQ} or constants[node.input[2]].data_type != TensorProto.UINT8:
            continue
        scale, zero = (constants[name] for name in node.input[1:3])
        old = numpy_helper.to_array(scale)
        new = symmetric_scale(float(old.reshape(-1)[0]), int(numpy_helper.to_array(zero).reshape(-1)[0]))
        scale.CopyFrom(numpy_helper.from_array(np.full(old.shape, new, np.float32), scale.name))
        zero.CopyFrom(numpy_helper.from_array(np.zeros(old.shape, np.int8), zero.name))


def restore_rectifiers(quantized: ModelProto, graph: ModelProto) -> None:
    """Put the ReLUs and Clips of the float graph back behind the operations that bear their outputs, in place."""
    floats = {tensor.name: tensor for tensor in graph.graph.initializer}
    there = {node.name for node in quantized.graph.node}
    lost = {node.output[0]: node for node in graph.graph.node if node.op_type in REMOVED and node.name not in there}
    nodes = list[NodeProto]()
    for node in quantized.graph.node:
        nodes.append(node)
        rectifier = lost.get(node.output[0])
        if rectifier is not None:
            node.output[0] = rectifier.input[0]
            nodes.append(rectifier)
            _add_constants(quantized, floats, rectifier.input[1:])
    del quantized.graph.node[:]
    quantized.graph.node.extend(nodes)


def restore_biases(quantized: ModelProto, graph: ModelProto) -> None:
    """Store biases as the float graph does, in place: the integers' own values, to the last digits of float32."""
    floats = {tensor.name: tensor for tensor in graph.graph.initializer}
    kinds = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    biases = [
        node
        for node in quantized.graph.node
        if node.op_type == DQ and kinds.get(node.input[0]) == TensorProto.INT32 and node.output[0] in floats
    ]
    for node in biases:
        quantized.graph.node.remove(node)
        _add_constants(quantized, floats, node.output)
    drop_unused(quantized)


def free_kept(quantized: ModelProto) -> None:
    """Give float layers what is rounded before them as it was, in place: TensorRT wants both inputs of a layer rounded, or none.

    What else reads the rounded tensor still does; a rounding that nothing reads any more is taken away.
    """
    graph = quantized.graph
    makers = {tensor: node for node in graph.node for tensor in node.output}
    floats = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        dequantize = makers.get(node.input[0]) if node.op_type in WEIGHTED_OPS and node.input[1] in floats else None
        quantize = makers.get(dequantize.input[0]) if dequantize is not None and dequantize.op_type == DQ else None
        if quantize is not None and quantize.op_type == Q:
            node.input[0] = quantize.input[0]
    for kind in (DQ, Q):
        read = {tensor for node in graph.node for tensor in node.input} | {end.name for end in graph.output}
        for unread in [node for node in graph.node if node.op_type == kind and node.output[0] not in read]:
            graph.node.remove(unread)
    drop_unused(quantized)


def _add_constants(model: ModelProto, floats: Mapping[str, TensorProto], names: Iterable[str]) -> None:
    there = {tensor.name for tensor in model.graph.initializer}
    for name in names:
        if name in floats and name not in there:
            model.graph.initializer.append(floats[name])
            there.add(name)
