"""Integer weights and float activations at the ends of layers, on the model's own points: dense ones by ONNX Runtime's MatMulNBits.

    weights   (out, in) integers -q .. q, stored unsigned around 2^(bits - 1): two to a byte for 4 bits, group after group
    WEIGHTS   the runtime makes floats of them again as it multiplies
    DYNAMIC   the runtime rounds each group of each row of the activations to 8 bits by its own range, and multiplies integers
A row's answer does not depend on the rows beside it. For WEIGHTS, other layers, and groups that the operation cannot hold, are
stored as ``onnx_weights`` has them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from galenic.exporters.ends import Lowered, check_weights
from galenic.exporters.matching import weights
from galenic.exporters.onnx_casts import half_layers, store_halves
from galenic.exporters.onnx_graph import serialized, strip, weighted_nodes
from galenic.exporters.onnx_qdq import drop_unused
from galenic.exporters.onnx_weights import store_weights
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantPoint
from galenic.zoo.model import Model

DOMAIN, DOMAIN_VERSION = "com.microsoft", 1
BLOCK = 32  # activations that DYNAMIC rounds together, and weights that are stored together
LEAST_BLOCK = 16
DENSE_OPS = frozenset({"Gemm", "MatMul"})
LEVELS_OF_ARITHMETIC: Mapping[Arithmetic, int] = {Arithmetic.WEIGHTS: 1, Arithmetic.DYNAMIC: 4}
"""The operation's ``accuracy_level``: 1 computes in float32, 4 in int8."""


def lower_dense(model: Model, graph: ModelProto) -> Lowered:
    """A model with integer weights as the bytes of an ONNX file.

    Raises:
        ModelError: a DYNAMIC layer is no dense one, or its groups do not fit; or the weights are not those of the points.
    """
    spec = model.quant
    assert spec is not None
    check_weights(model)
    made = ModelProto()
    made.CopyFrom(graph)
    nodes = {node.name: node for node in weighted_nodes(made.graph)}
    dynamic = spec.rule.arithmetic is Arithmetic.DYNAMIC
    others = list[tuple[NodeProto, QuantPoint]]()
    for layer, point in weights(spec.points).items():
        if _fits(nodes[layer], point):
            _replace(made, nodes[layer], point, LEVELS_OF_ARITHMETIC[spec.rule.arithmetic])
        elif dynamic:
            raise _unfit(nodes[layer], point)
        else:
            others.append((nodes[layer], point))
    store_weights(made, others)
    store_halves(made, half_layers(spec))
    drop_unused(made)
    made.opset_import.append(helper.make_opsetid(DOMAIN, DOMAIN_VERSION))
    strip(made)
    return Lowered(
        serialized(made), f"{spec.rule.arithmetic.value}-int{spec.rule.weight_bits}", spec, _count(model, nodes)
    )


def packed(integers: np.ndarray, bits: int, block: int) -> np.ndarray:
    """(out, in) signed integers -> (out, blocks, bytes of a block) uint8, the last block filled up with zeros."""
    out, columns = integers.shape
    blocks = -(-columns // block)
    filled = np.zeros((out, blocks * block), np.int64)
    filled[:, :columns] = integers
    unsigned: np.ndarray = (filled + 2 ** (bits - 1)).astype(np.uint8).reshape(out, blocks, block)
    if bits == 8:
        return unsigned
    halves: np.ndarray = unsigned[:, :, 0::2] | (unsigned[:, :, 1::2] << 4)
    return halves


def _replace(model: ModelProto, node: NodeProto, point: QuantPoint, accuracy_level: int) -> None:
    """Put MatMulNBits where a dense layer was, in place."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    weight = _outputs_first(node, numpy_helper.to_array(constants[node.input[1]]))
    bits = 4 if point.bits <= 4 else 8
    block = point.group_size or BLOCK
    blocks = -(-weight.shape[1] // block)
    scales = np.array(point.scale, np.float32).reshape(len(weight) if point.axis is not None else 1, -1)
    columns = np.repeat(scales, weight.shape[1] // scales.shape[1], axis=1)
    integers = np.rint(weight / columns).astype(np.int64)
    per_block = np.broadcast_to(scales if scales.shape[1] > 1 else scales[:, :1], (len(weight), blocks))
    parts = {
        f"{node.name}.integers": packed(integers, bits, block),
        f"{node.name}.scales": np.ascontiguousarray(per_block).reshape(-1),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in parts.items())
    bias = list(node.input[2:3])
    made = helper.make_node(
        "MatMulNBits",
        [node.input[0], *parts, *(["", "", *bias] if bias else [])],
        list(node.output),
        name=node.name,
        domain=DOMAIN,
        K=weight.shape[1],
        N=len(weight),
        bits=bits,
        block_size=block,
        accuracy_level=accuracy_level,
    )
    node.CopyFrom(made)


def _fits(node: NodeProto, point: QuantPoint) -> bool:
    block = point.group_size or BLOCK
    return node.op_type in DENSE_OPS and not block & (block - 1) and block >= LEAST_BLOCK


def _unfit(node: NodeProto, point: QuantPoint) -> ModelError:
    return ModelError(
        given=f"{node.name}, {node.op_type} with dynamic {point.bits}-bit weights in groups of {point.group_size}",
        expected="dense layers with one scale per channel, or in groups of 16, 32, 64, 128 or 256: ONNX Runtime has no "
        "other kernel that rounds activations as they come",
        todo="keep this layer float (keep = [...]) or choose another group_size",
    )


def _outputs_first(node: NodeProto, weight: np.ndarray) -> np.ndarray:
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return weight if transposed else weight.T


def _count(model: Model, nodes: Mapping[str, NodeProto]) -> IntegerOps:
    assert model.quant is not None
    multiplied = set(weights(model.quant.points)) if model.quant.rule.arithmetic is Arithmetic.DYNAMIC else set()
    floating = tuple(name for name in nodes if name not in multiplied)
    return IntegerOps(integer=len(multiplied), floating=len(floating), expected=len(multiplied), left_float=floating)
