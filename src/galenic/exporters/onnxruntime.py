"""ONNX files for ONNX Runtime: float32, or INT8 where the model has a QuantSpec.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnx import ModelProto

from galenic.exporters.ends import Lowered
from galenic.exporters.exporter import Exporter
from galenic.exporters.onnx_coverage import count_integer
from galenic.exporters.onnx_dense import lower_dense
from galenic.exporters.onnx_graph import labelled, serialized, to_graph
from galenic.exporters.onnx_half import lower_half
from galenic.exporters.onnx_int8 import check_static, lower_int8
from galenic.exporters.onnx_weights import opset_for
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule
from galenic.zoo.model import Model

RUNTIME = "onnxruntime"


def lower(model: Model) -> Lowered:
    """One ONNX file; ModelError for what cannot be exported."""
    graph = to_graph(model, opset_for(model.quant))
    if model.quant is None:
        return Lowered(serialized(graph), "float32")
    return LOWERINGS[model.quant.rule.arithmetic](model, graph)


LOWERINGS: Mapping[Arithmetic, Callable[[Model, ModelProto], Lowered]] = {
    Arithmetic.STATIC: lambda model, graph: lower_int8(model, graph, count_integer),
    Arithmetic.DYNAMIC: lower_dense,
    Arithmetic.WEIGHTS: lower_dense,
    Arithmetic.FLOAT16: lower_half,
}


def check_rule(rule: QuantRule) -> None:
    """ModelError where ONNX Runtime cannot hold such a quantization on a processor."""
    if rule.arithmetic is Arithmetic.STATIC:
        check_static(RUNTIME, rule)
    elif rule.arithmetic not in LOWERINGS:
        raise ModelError(
            given=f"{rule.arithmetic.value} for {RUNTIME}",
            expected=f"one of {', '.join(LOWERINGS)}: its kernels for processors have no other arithmetic",
            todo="choose one of these, or openvino for bfloat16",
        )


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".onnx",
    version=4,
    summary="one ONNX file: float32, float16, INT8 (QDQ, weights of 4 bits in INT4), or integer weights",
    lower=lower,
    check_rule=check_rule,
    packages=("torch", "onnx", "onnxruntime"),
    label=labelled,
)
