"""A quantized model as a QDQ file, for ONNX Runtime and for OpenVINO: the model's own points, matched to the graph by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnx import ModelProto

from galenic.exporters.ends import Lowered, check_weights
from galenic.exporters.matching import activations, in_use, match, our_values, probe_rows, weights
from galenic.exporters.onnx_casts import half_layers, store_halves
from galenic.exporters.onnx_graph import serialized, strip
from galenic.exporters.onnx_qdq import make_lean, rounded_tensors, to_qdq
from galenic.exporters.onnx_values import onnx_values
from galenic.exporters.onnx_weights import FEW_BITS, OPSET_OF_INT4, opset_of, store_few_bits
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ModelError
from galenic.record.quant import FLOAT_BITS, HALF_BITS, Arithmetic, QuantPoint, QuantRule, QuantSpec
from galenic.zoo.model import Model

Count = Callable[[ModelProto, bytes, Sequence[str]], IntegerOps]
"""(float graph, quantized file, layers that are to stay float) -> what the runtime computes on integers."""


def lower_int8(
    model: Model, graph: ModelProto, count: Count, release: Callable[[ModelProto], None] | None = None
) -> Lowered:
    """A quantized model's float graph as INT8 bytes, on the points of its QuantSpec.

    Args:
        model: with a QuantSpec; its weights are on their grids.
        graph: of the same model; weights of up to 4 bits are INT4 in the file if its opset has it (21), else INT8.
        count: tells which layers the runtime computes on integers.
        release: takes away, in place, the Q and DQ that the runtime is better without.

    Raises:
        ModelError: the rule cannot be held, the weights are not those of the points, or a tensor has no grid.
    """
    spec = model.quant
    assert spec is not None
    check_weights(model)
    matched = match(our_values(model), onnx_values(graph, probe_rows(model)))
    quantized = to_qdq(graph, spec, graph_grids(spec, matched))
    if release is not None:
        release(quantized)
    used = {matched[tensor] for tensor in rounded_tensors(quantized) if tensor in matched}
    store_halves(quantized, half_layers(spec))
    strip(quantized)
    make_lean(quantized)
    if opset_of(quantized) >= OPSET_OF_INT4:
        store_few_bits(quantized)
    data = serialized(quantized)
    return Lowered(data, _precision(spec), in_use(spec, used), count(graph, data, spec.stays_float))


def _precision(spec: QuantSpec) -> str:
    return "w4a8" if any(point.bits <= FEW_BITS for point in weights(spec.points).values()) else "int8"


def graph_grids(spec: QuantSpec, matched: Mapping[str, str]) -> dict[str, QuantPoint]:
    """The point of each activation of an ONNX graph, by its name there.

    Args:
        spec: of the model that the graph is of.
        matched: the graph's names -> ours.
    """
    points = activations(spec.points)
    found = {theirs: points.get(spec.shares.get(ours, ours)) for theirs, ours in matched.items()}
    return {name: point for name, point in found.items() if point is not None}


def check_static(runtime: str, rule: QuantRule) -> None:
    """ModelError where a runtime that reads QDQ cannot compute such a quantization on integers."""
    floats = {None, HALF_BITS, FLOAT_BITS}
    activation_bits = {rule.activation_bits, *(one.activation_bits for one in rule.layers)} - floats
    if rule.arithmetic is not Arithmetic.STATIC or rule.weight_bits > 8 or activation_bits != {8} or rule.group_size:
        raise ModelError(
            given=f"{rule.weight_bits}-bit weights with {rule.activation_bits}-bit activations for {runtime}",
            expected="weights of up to 8 bits with one scale per channel or tensor, and 8-bit activations, as it computes them",
            todo="choose static_int8, or another runtime",
        )
