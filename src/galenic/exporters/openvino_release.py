"""What OpenVINO is better without in a QDQ file, or fuses away: Q and DQ between operations that it computes as one.

    activation   between a layer and the HardSwish, HardSigmoid or x * sigmoid(x) after it, and between the parts of the latter
    sum          between a convolution and the sum after it; of two convolutions only the later one is a part of the sum
    parts        behind a concatenation that goes into batch norms and other concatenations alone, as in a DenseNet
Left in, the first pair makes two operations of one; the second one is not computed, and the file would not be its simulation; at
the third one OpenVINO 2026.4 crashes as it compiles (the parts are rounded, each on its own grid).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, NodeProto

from galenic.exporters.onnx_graph import WEIGHTED_OPS
from galenic.exporters.onnx_qdq import DQ, Q, drop_unused

ACTIVATIONS = frozenset({"HardSwish", "HardSigmoid"})
JOINED = frozenset({"BatchNormalization", "Concat"})


@dataclass(frozen=True)
class Rounding:
    """A Q and the DQ that alone takes it, the node whose output they round, and the nodes behind them."""

    quantize: NodeProto
    dequantize: NodeProto
    before: NodeProto
    after: Sequence[NodeProto]


def release(model: ModelProto) -> None:
    """Take the pairs away, in place."""
    graph = model.graph
    found = list(_roundings(graph))
    gone = [one for one in found if _activated(one) or _joined(one)]
    for node in graph.node:
        if node.op_type == "Add":
            summed = [one for one in found if one.before.op_type == "Conv" and [id(x) for x in one.after] == [id(node)]]
            gone += summed[-1:]
    released = {one.dequantize.output[0]: one.quantize.input[0] for one in gone}
    for one in gone:
        graph.node.remove(one.dequantize)
        graph.node.remove(one.quantize)
    for node in graph.node:
        node.input[:] = [released.get(tensor, tensor) for tensor in node.input]
    drop_unused(model)


def _roundings(graph: GraphProto) -> Iterator[Rounding]:
    """In the order of the operations that are rounded."""
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for tensor in node.input:
            users.setdefault(tensor, []).append(node)
    for node in graph.node:
        for quantize in users.get(node.output[0], []):
            pair = users.get(quantize.output[0], []) if quantize.op_type == Q else []
            if len(pair) == 1 and pair[0].op_type == DQ:
                yield Rounding(quantize, pair[0], node, users.get(pair[0].output[0], []))


def _activated(one: Rounding) -> bool:
    if one.before.op_type == "Sigmoid":
        return len(one.after) == 1 and one.after[0].op_type == "Mul" and one.before.input[0] in one.after[0].input
    return (
        one.before.op_type in WEIGHTED_OPS
        and bool(one.after)
        and all(_activates(node, one.after) for node in one.after)
    )


def _joined(one: Rounding) -> bool:
    return one.before.op_type == "Concat" and bool(one.after) and {node.op_type for node in one.after} <= JOINED


def _activates(node: NodeProto, beside: Sequence[NodeProto]) -> bool:
    silu = {"Mul", "Sigmoid"}
    return node.op_type in ACTIVATIONS or (node.op_type in silu and {other.op_type for other in beside} == silu)
