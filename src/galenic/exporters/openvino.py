"""ONNX files for OpenVINO: float32, the same bytes as for ONNX Runtime, or INT8 (QDQ) without rounding inside of what it fuses.

OpenVINO reads ONNX itself, and makes integers of what stands between Q and DQ as it compiles: that is where they are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnx import ModelProto

from galenic.exporters.ends import Lowered
from galenic.exporters.exporter import Exporter
from galenic.exporters.onnx_graph import labelled, serialized, to_graph, weighted_nodes
from galenic.exporters.onnx_half import lower_half
from galenic.exporters.onnx_int8 import check_static, lower_int8
from galenic.exporters.onnx_weights import opset_for, weights_in_file
from galenic.exporters.openvino_release import release
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule
from galenic.record.quiet import hidden
from galenic.zoo.model import Model

RUNTIME = "openvino"
TELEMETRY = "openvino_telemetry"
INTEGERS = frozenset({"i8", "u8"})
LAYER_TYPES = frozenset({"Convolution", "FullyConnected", "MatMul", "Deconvolution"})


def lower(model: Model) -> Lowered:
    """One ONNX file; ModelError for what cannot be exported."""
    graph = to_graph(model, opset_for(model.quant))
    if model.quant is None:
        return Lowered(serialized(graph), "float32")
    return LOWERINGS[model.quant.rule.arithmetic](model, graph)


def check_rule(rule: QuantRule) -> None:
    """ModelError where OpenVINO cannot hold such a quantization on a processor."""
    if rule.arithmetic is Arithmetic.STATIC:
        check_static(RUNTIME, rule)
    elif rule.arithmetic not in LOWERINGS:
        raise ModelError(
            given=f"{rule.arithmetic.value} integers for {RUNTIME}",
            expected=f"one of {', '.join(LOWERINGS)}: it rounds activations by their own ranges on some processors alone, "
            "so one file would compute this on one machine and that on another",
            todo="choose one of these, or onnxruntime or litert for dynamic integers of dense layers",
        )


def lower_bfloat16(model: Model, graph: ModelProto) -> Lowered:
    """The float file, which a Session computes in bfloat16 as its precision says."""
    return Lowered(serialized(graph), "bfloat16", model.quant, IntegerOps(integer=0, floating=0, expected=0))


def lower_weights(model: Model, graph: ModelProto) -> Lowered:
    """A model with integer weights, which OpenVINO makes floats of as it compiles, or as it multiplies."""
    assert model.quant is not None
    data = weights_in_file(model, graph)
    layers = tuple(node.name for node in weighted_nodes(graph.graph))
    return Lowered(
        data, f"weights-int{model.quant.rule.weight_bits}", model.quant, count_integer(graph, data, keep=layers)
    )


LOWERINGS: Mapping[Arithmetic, Callable[[Model, ModelProto], Lowered]] = {
    Arithmetic.STATIC: lambda model, graph: lower_int8(model, graph, count_integer, release),
    Arithmetic.WEIGHTS: lower_weights,
    Arithmetic.FLOAT16: lower_half,
    Arithmetic.BFLOAT16: lower_bfloat16,
}


def count_integer(graph: ModelProto, quantized: bytes, keep: Sequence[str]) -> IntegerOps:
    """Integer and floating convolutions and dense layers of ``quantized``, made from the float ``graph``, as compiled here.

    ``keep`` are the layers that are meant to stay float; all others are expected to be integer.
    """
    layers = [node.name for node in weighted_nodes(graph.graph)]
    integer = {name for info in compiled_layers(quantized) for name in info if name in layers}
    floating = tuple(layer for layer in layers if layer not in integer)
    return IntegerOps(
        integer=len(layers) - len(floating),
        floating=len(floating),
        expected=len(layers) - len(keep),
        left_float=floating,
    )


def compiled_layers(quantized: bytes) -> list[list[str]]:
    """The names of the file's nodes in each layer that OpenVINO computes on integers on this machine."""
    with hidden(TELEMETRY):
        import openvino
    core = openvino.Core()
    model = core.read_model(quantized)
    model.reshape([1, *(side.get_length() for side in list(model.inputs[0].get_partial_shape())[1:])])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return [_origin(info) for info in map(_info, compiled.get_runtime_model().get_ops()) if _is_integer(info)]


def _info(operation: Any) -> Mapping[str, str]:
    return {key: str(value.value if hasattr(value, "value") else value) for key, value in operation.rt_info.items()}


def _is_integer(info: Mapping[str, str]) -> bool:
    return info.get("layerType") in LAYER_TYPES and info.get("runtimePrecision") in INTEGERS


def _origin(info: Mapping[str, str]) -> list[str]:
    # A layer whose bias is taken apart is called path/WithoutBiases, with more behind it.
    return [name.split("/WithoutBiases")[0] for name in info.get("originalLayersNames", "").split(",")]


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".onnx",
    version=6,
    summary="one ONNX file: float32, float16, bfloat16 arithmetic, INT8 (QDQ, weights of 4 bits in INT4), or integer weights",
    lower=lower,
    check_rule=check_rule,
    packages=("torch", "onnx", "onnxruntime", "openvino"),
    needs=("openvino",),
    install="pip install 'galenic[openvino]'",
    label=labelled,
)
