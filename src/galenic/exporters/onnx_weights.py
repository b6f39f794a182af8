"""Integer weights in an ONNX file, behind what a runtime computes once as it loads: a small file, and the arithmetic as without.

    WEIGHTS   integers -> Cast to float32 -> Mul by the scales (-> Reshape -> Transpose where groups share them): float arithmetic
    STATIC    INT4 -> Cast to INT8 -> DequantizeLinear: integer arithmetic, as if INT8 was stored
Weights of up to 4 bits are INT4, two to a byte, others INT8. ONNX Runtime and OpenVINO fold constants before they fuse anything.
A DequantizeLinear of the weights alone would be nearer to the format's idea, but ONNX Runtime computes it anew in every call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from galenic.exporters.ends import check_weights
from galenic.exporters.matching import weights
from galenic.exporters.onnx_casts import half_layers, store_halves
from galenic.exporters.onnx_graph import OPSET, serialized, strip, weighted_nodes
from galenic.exporters.onnx_qdq import DQ, drop_unused, output_axis
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantPoint, QuantSpec
from galenic.zoo.model import Model

FEW_BITS, MOST_OF_FEW = 4, 7
OPSET_OF_INT4 = 21  # the first in which Cast takes it
CAST_BYTES = 90  # of one Cast and its names, about: fewer weights are smaller without
STORED, REAL, SCALES = ":int", ":real", ":scales"


def opset_for(spec: QuantSpec | None) -> int:
    """The opset that a model's file needs: the usual one, but for weights of few bits."""
    if spec is None or spec.rule.arithmetic not in (Arithmetic.STATIC, Arithmetic.WEIGHTS):
        return OPSET
    few = any(point.bits <= FEW_BITS for point in weights(spec.points).values())
    return OPSET_OF_INT4 if few else OPSET


def weights_in_file(model: Model, graph: ModelProto) -> bytes:
    """The bytes of the file of a model with integer weights and float arithmetic, each layer as ``store_weights`` has it.

    Raises:
        ModelError: the weights are not those of the points.
    """
    spec = model.quant
    assert spec is not None
    check_weights(model)
    made = ModelProto()
    made.CopyFrom(graph)
    nodes = {node.name: node for node in weighted_nodes(made.graph)}
    store_weights(made, [(nodes[layer], point) for layer, point in weights(spec.points).items()])
    store_halves(made, half_layers(spec))
    drop_unused(made)
    strip(made)
    return serialized(made)


def store_weights(model: ModelProto, layers: Sequence[tuple[NodeProto, QuantPoint]]) -> None:
    """Store layers' weights as integers and their scales, in place; float32 is made of each under its own name.

    Args:
        model: with opset 21 for up to 4 bits.
        layers: nodes of the model, each with the point of its weight.

    Raises:
        ModelError: a weight is not on the grid of its point.
    """
    made, parts = list[NodeProto](), list[TensorProto]()
    for node, point in layers:
        name, axis = node.input[1], output_axis(node)
        constant = next((tensor for tensor in model.graph.initializer if tensor.name == name), None)
        if constant is None:
            continue  # it is a layer's before too, and stored already
        nodes, stored = _as_integers(name, numpy_helper.to_array(constant), axis, point)
        model.graph.initializer.remove(constant)
        made += nodes
        parts += stored
    _add(model, made, parts)


def store_few_bits(model: ModelProto) -> None:
    """Store the INT8 weights of a QDQ file that fit into 4 bits as INT4, in place, where that is smaller."""
    graph, casts = model.graph, list[NodeProto]()
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT8}
    for name in dict.fromkeys(
        node.input[0] for node in graph.node if node.op_type == DQ and node.input[0] in constants
    ):
        integers = numpy_helper.to_array(constants[name])
        if np.abs(integers.astype(np.int16)).max() <= MOST_OF_FEW and integers.size // 2 > CAST_BYTES:
            constants[name].CopyFrom(_stored(integers, FEW_BITS, name))
            casts.append(helper.make_node("Cast", [f"{name}{STORED}"], [name], to=TensorProto.INT8))
    _add(model, casts, [])


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operations in a file."""
    return int(next(entry.version for entry in model.opset_import if not entry.domain))


def _as_integers(
    name: str, weight: np.ndarray, axis: int, point: QuantPoint
) -> tuple[list[NodeProto], list[TensorProto]]:
    """The nodes that make a weight of integers, and their constants; ``axis`` counts the weight's output channels."""
    turned = np.moveaxis(weight, axis, 0)
    scales = np.array(point.scale, np.float32).reshape(len(turned) if point.axis is not None else 1, -1, 1)
    groups = turned.reshape(len(turned), scales.shape[1], -1)
    integers = np.rint(groups / scales).astype(np.int8)
    if not np.array_equal(integers * scales, groups):
        raise ModelError(
            given=f"a weight of {point.tensor} that is not on the grid of its point",
            expected="weights that were rounded to their grids",
            todo="quantize this model anew",
        )
    ways, shape = list[NodeProto](), list[TensorProto]()
    if scales.shape[1] > 1:
        ways, shape = _ways_back(name, turned.shape, axis)
    else:
        integers = np.ascontiguousarray(np.moveaxis(integers.reshape(turned.shape), 0, axis))
        scales = scales.reshape([len(scales) if place == axis else 1 for place in range(weight.ndim)])
    multiplied = ways[0].input[0] if ways else name
    nodes = [
        helper.make_node("Cast", [f"{name}{STORED}"], [f"{name}{REAL}"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}{REAL}", f"{name}{SCALES}"], [multiplied]),
    ]
    parts = [_stored(integers, point.bits, name), numpy_helper.from_array(scales, f"{name}{SCALES}")]
    return [*nodes, *ways], [*parts, *shape]


def _ways_back(name: str, shape: tuple[int, ...], axis: int) -> tuple[list[NodeProto], list[TensorProto]]:
    """From (channels, groups, weights of one) to the layer's own order; ``shape`` has the channels first."""
    turned = f"{name}:turned" if axis else name
    nodes = [helper.make_node("Reshape", [f"{name}:groups", f"{name}:shape"], [turned])]
    if axis:
        order = [*range(1, axis + 1), 0, *range(axis + 1, len(shape))]
        nodes.append(helper.make_node("Transpose", [turned], [name], perm=order))
    return nodes, [numpy_helper.from_array(np.array(shape, np.int64), f"{name}:shape")]


def _stored(integers: np.ndarray, bits: int, name: str) -> TensorProto:
    if bits > FEW_BITS:
        return numpy_helper.from_array(integers, f"{name}{STORED}")
    flat = integers.reshape(-1).view(np.uint8) & 0xF
    pairs = np.append(flat, np.zeros(flat.size % 2, np.uint8)).reshape(-1, 2)
    return TensorProto(
        name=f"{name}{STORED}",
        data_type=TensorProto.INT4,
        dims=integers.shape,
        raw_data=(pairs[:, 0] | pairs[:, 1] << 4).tobytes(),
    )


def _add(model: ModelProto, nodes: Sequence[NodeProto], parts: Sequence[TensorProto]) -> None:
    """Put constants, and the nodes that take them, before everything else."""
    model.graph.initializer.extend(parts)
    later = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *later])
