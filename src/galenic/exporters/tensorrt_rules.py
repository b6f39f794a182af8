"""TensorRT's rules for an ONNX file with explicit quantization, as far as a file can be read for them without an NVIDIA card.

    1  operators   none that TensorRT refuses, none of another domain; an opset that it reads: 13 (grids per channel) to 24
    2  pools       over two or three dimensions
    3  pairs       a Q goes into DQs alone, each on its grid
    4  types       signed INT8, or INT4 weights; a Q without a zero point would be unsigned
    5  symmetric   zero points are 0
    6  scales      constants, float32, finite, above 0
    7  tensors     one scale for an activation
    8  channels    one scale, or one per output channel, for a weight: axis 0 of a convolution, 1 of a transposed one, and the
                   axis of a dense layer's output
    9  inputs      a weighted layer has both its inputs from DQs, or neither (INT4 weights alone)
    10 biases      float32 constants
    11 INT4        weights of dense layers alone, in blocks of 64 or 128 along the input features, whose activations stay float
Sources: the TensorRT 10 documentation (Explicit Quantization; Quantized Types; IQuantizeLayer), and what onnx-tensorrt's importer
checks (onnxOpImporters.cpp, docs/operators.md for 10.15). That a file keeps them does not say that an engine was built of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from galenic.exporters.onnx_graph import WEIGHTED_OPS
from galenic.exporters.onnx_qdq import DQ, Q, output_axis
from galenic.exporters.onnx_weights import opset_of

LEAST_OPSET, MOST_OPSET, OPSET_OF_INT4 = 13, 24, 21
REFUSED = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"})
POOLS, POOLED_DIMENSIONS = frozenset({"AveragePool", "MaxPool", "LpPool"}), (2, 3)
DENSE = frozenset({"Gemm", "MatMul"})
BLOCKS = (64, 128)
BIAS = 2  # its place among a layer's inputs


@dataclass(frozen=True)
class Violation:
    """One rule that one node breaks.

    Attributes:
        rule: its name in the list above.
        node: the node, by its name or its first output.
        words: what is there.
    """

    rule: str
    node: str
    words: str


class Graph:
    """A file with what its rules ask of it again and again."""

    def __init__(self, model: ModelProto) -> None:
        self.opset = opset_of(model)
        self.answers = {end.name for end in model.graph.output}
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.constants: dict[str, TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self.makers = {tensor: node for node in self.nodes for tensor in node.output}
        self.users: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for tensor in node.input:
                self.users.setdefault(tensor, []).append(node)

    def of(self, *operators: str) -> Iterator[NodeProto]:
        """The nodes of these operators."""
        return (node for node in self.nodes if node.op_type in operators)

    def dequantized(self, tensor: str) -> NodeProto | None:
        """The DQ that makes a tensor, None where another operation does."""
        maker = self.makers.get(tensor)
        return maker if maker is not None and maker.op_type == DQ else None

    def values(self, name: str) -> np.ndarray | None:
        """A constant's values, None where it is no constant."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def kind(self, node: NodeProto) -> int | None:
        """The integer type of a Q or DQ: that of its zero point or, for a DQ, of its constant; None where nothing says it."""
        for name in (*node.input[2:3], *(node.input[:1] if node.op_type == DQ else ())):
            if name in self.constants:
                return int(self.constants[name].data_type)
        maker = self.makers.get(node.input[0])
        return self.kind(maker) if node.op_type == DQ and maker is not None and maker.op_type == Q else None

    def is_int4(self, node: NodeProto) -> bool:
        """Whether a DQ is of INT4 weights."""
        return bool(self.kind(node) == TensorProto.INT4)


def rules(model: ModelProto) -> list[Violation]:
    """What a file breaks of the rules above; empty where it keeps them."""
    graph = Graph(model)
    return [violation for rule in RULES for violation in rule(graph)]


def operators(graph: Graph) -> Iterator[Violation]:
    """1: operators and opset."""
    if not LEAST_OPSET <= graph.opset <= MOST_OPSET:
        yield Violation("operators", "the file", f"opset {graph.opset}")
    for node in graph.nodes:
        if node.op_type in REFUSED or node.domain:
            yield Violation("operators", name_of(node), f"{node.domain or 'ONNX'}'s {node.op_type}")


def pools(graph: Graph) -> Iterator[Violation]:
    """2: pools over two or three dimensions."""
    for node in graph.of(*POOLS):
        dimensions = len(attribute(node, "kernel_shape") or ())
        if dimensions not in POOLED_DIMENSIONS:
            yield Violation("pools", name_of(node), f"a pool over {dimensions} dimensions")


def pairs(graph: Graph) -> Iterator[Violation]:
    """3: a Q goes into DQs on its own grid."""
    for node in graph.of(Q):
        users = graph.users.get(node.output[0], [])
        others = [user.op_type for user in users if user.op_type != DQ] + ["the answer"] * (
            node.output[0] in graph.answers
        )
        if others or not users:
            yield Violation("pairs", name_of(node), f"integers that go into {', '.join(others) or 'nothing'}")
        for user in users:
            if user.op_type == DQ and not np.array_equal(*(graph.values(one.input[1]) for one in (node, user))):  # type: ignore[arg-type]
                yield Violation("pairs", name_of(user), "another scale than its QuantizeLinear")


def types(graph: Graph) -> Iterator[Violation]:
    """4: signed INT8, or INT4 weights."""
    for node in graph.of(Q, DQ):
        kind = graph.kind(node)
        constant = node.input[0] in graph.constants
        allowed = {TensorProto.INT8, TensorProto.INT4} if node.op_type == DQ and constant else {TensorProto.INT8}
        if kind not in allowed:
            found = TensorProto.DataType.Name(kind) if kind is not None else "UINT8, as nothing else is said"
            yield Violation("types", name_of(node), f"integers of the type {found}")


def symmetric(graph: Graph) -> Iterator[Violation]:
    """5: zero points are 0."""
    for node in graph.of(Q, DQ):
        if len(node.input) > 2 and node.input[2]:
            zero_points = graph.values(node.input[2])
            if zero_points is None or np.any(zero_points.astype(np.int64) != 0):
                yield Violation("symmetric", name_of(node), "a zero point that is not 0")


def scales(graph: Graph) -> Iterator[Violation]:
    """6: scales are constants above 0."""
    for node in graph.of(Q, DQ):
        found = graph.values(node.input[1])
        if found is None or found.dtype != np.float32 or not np.all(np.isfinite(found) & (found > 0)):
            words = "no constant" if found is None else f"{found.dtype}, from {found.min():g} to {found.max():g}"
            yield Violation("scales", name_of(node), f"a scale that is {words}")


def tensors(graph: Graph) -> Iterator[Violation]:
    """7: one scale for an activation."""
    for node in graph.of(Q, DQ):
        found = graph.values(node.input[1])
        if node.input[0] not in graph.constants and found is not None and found.size != 1:
            yield Violation("tensors", name_of(node), f"{found.size} scales for an activation")


def channels(graph: Graph) -> Iterator[Violation]:
    """8: one scale, or one per output channel, for an INT8 weight."""
    for node in graph.of(*WEIGHTED_OPS):
        source = graph.dequantized(node.input[1])
        weight = graph.constants.get(source.input[0]) if source is not None else None
        if source is None or weight is None or graph.is_int4(source):
            continue
        found, axis = graph.values(source.input[1]), attribute(source, "axis")
        if found is None or found.size == 1:
            continue
        at = (1 if axis is None else int(axis)) % len(weight.dims)
        if at != output_axis(node) or found.shape != (weight.dims[at],):
            yield Violation(
                "channels", name_of(node), f"{found.size} scales along axis {at} of a weight {tuple(weight.dims)}"
            )


def inputs(graph: Graph) -> Iterator[Violation]:
    """9: both inputs of a weighted layer are quantized, or neither."""
    for node in graph.of(*WEIGHTED_OPS):
        activation, weight = (graph.dequantized(tensor) for tensor in node.input[:2])
        if weight is not None and graph.is_int4(weight):
            continue
        if (activation is None) != (weight is None):
            words = (
                "an integer weight and a float activation"
                if activation is None
                else "a float weight and an integer activation"
            )
            yield Violation("inputs", name_of(node), words)


def biases(graph: Graph) -> Iterator[Violation]:
    """10: biases are float32 constants, where the layer is quantized."""
    for node in graph.of(*WEIGHTED_OPS):
        quantized = graph.dequantized(node.input[1]) is not None
        if quantized and len(node.input) > BIAS and node.input[BIAS]:
            bias = graph.constants.get(node.input[BIAS])
            if bias is None or bias.data_type != TensorProto.FLOAT:
                yield Violation("biases", name_of(node), "a bias that is no float32 constant")


def int4(graph: Graph) -> Iterator[Violation]:
    """11: INT4 for weights of dense layers alone, in blocks."""
    for node in graph.of(DQ):
        if not graph.is_int4(node):
            continue
        if graph.opset < OPSET_OF_INT4:
            yield Violation("INT4", name_of(node), f"opset {graph.opset}")
        for user in graph.users.get(node.output[0], []):
            yield from (Violation("INT4", name_of(user), words) for words in _int4_faults(graph, node, user))


def _int4_faults(graph: Graph, node: NodeProto, user: NodeProto) -> Iterator[str]:
    weight, found = graph.constants.get(node.input[0]), graph.values(node.input[1])
    if weight is None or user.op_type not in DENSE or user.input[1] != node.output[0]:
        yield f"INT4 as an input of {user.op_type}: weights of dense layers alone"
        return
    if graph.dequantized(user.input[0]) is not None:
        yield "INT4 weights beside an integer activation"
    block, axis = attribute(node, "block_size") or 0, attribute(node, "axis")
    features = 1 - output_axis(user)
    if block not in BLOCKS:
        yield f"blocks of {block} weights"
    elif len(weight.dims) != 2 or axis != features or weight.dims[features] % block:
        yield f"blocks along axis {axis} of a weight {tuple(weight.dims)}"
    elif found is None or list(found.shape) != [
        size // block if at == features else size for at, size in enumerate(weight.dims)
    ]:
        yield "another number of scales than blocks"


RULES: tuple[Callable[[Graph], Iterator[Violation]], ...] = (
    operators,
    pools,
    pairs,
    types,
    symmetric,
    scales,
    tensors,
    channels,
    inputs,
    biases,
    int4,
)


def attribute(node: NodeProto, name: str) -> Any:
    """An attribute's value, None where it is left out."""
    found = next((one for one in node.attribute if one.name == name), None)
    return None if found is None else helper.get_attribute_value(found)


def name_of(node: NodeProto) -> str:
    """Its name; Q and DQ have none, and are called by what they make."""
    return str(node.name or node.output[0])
