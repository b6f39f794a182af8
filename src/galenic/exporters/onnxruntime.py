"""ONNX files for ONNX Runtime: float32, or INT8 where the model has a QuantSpec.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from onnx import ModelProto

from galenic.exporters.ends import Lowered, check_ends, write_file
from galenic.exporters.exporter import Exporter
from galenic.exporters.onnx_coverage import count_integer
from galenic.exporters.onnx_dense import lower_dense
from galenic.exporters.onnx_graph import serialized, to_graph
from galenic.exporters.onnx_half import lower_half
from galenic.exporters.onnx_int8 import check_static, lower_int8
from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.quant import Arithmetic, QuantRule
from galenic.zoo.model import Model

RUNTIME = "onnxruntime"


def export(
    model: Model,
    path: Path,
    *,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
) -> Artifact:
    """Write ``model`` to ``path`` as one ONNX file: whole, or not at all.

    Args:
        model: at rest in eval mode; INT8 where it has a QuantSpec.
        path: of the file; what is there is replaced in one step.
        preprocessing: travels with the file, and gives inputs of the model's shape.
        classes: one name per output.

    Raises:
        ModelError: the model cannot be exported, or the rule cannot be held by this runtime.
        StoreError: the file cannot be written; what was there is unchanged.
    """
    check_ends(model, preprocessing, classes)
    graph = to_graph(model)
    if model.quant is None:
        lowered = Lowered(serialized(graph), "float32")
    else:
        check_rule(model.quant.rule)
        lowered = LOWERINGS[model.quant.rule.arithmetic](model, graph)
    return write_file(model, path, lowered, runtime=RUNTIME, preprocessing=preprocessing, classes=classes)


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
    version=2,
    summary="one ONNX file: float32, float16, INT8 (QDQ), or integer weights of dense layers",
    export=export,
    check_rule=check_rule,
    packages=("torch", "onnx", "onnxruntime"),
)
