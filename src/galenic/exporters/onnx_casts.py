"""Layers of a QDQ file that are float16: their weights and biases are stored so, each behind a Cast to float32.

A runtime that has float16 arithmetic may drop the Cast; one that has not computes on the same numbers in float32.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from galenic.record.quant import HALF_BITS, QuantSpec

STORED = ":float16"


def half_layers(spec: QuantSpec) -> tuple[str, ...]:
    """The layers that a specification has in float16."""
    return tuple(name for name in spec.stays_float if spec.rule.bits_of(name)[0] == HALF_BITS)


def store_halves(model: ModelProto, layers: Collection[str]) -> None:
    """Store the constants of these layers as float16, in place. Their values are float16 numbers already."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    wanted = dict.fromkeys(
        name
        for node in graph.node
        if node.name in layers
        for name in node.input
        if name in constants and constants[name].data_type == TensorProto.FLOAT
    )
    casts = []
    for name in wanted:
        values = numpy_helper.to_array(constants[name]).astype(np.float16)
        constants[name].CopyFrom(numpy_helper.from_array(values, f"{name}{STORED}"))
        casts.append(helper.make_node("Cast", [f"{name}{STORED}"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
