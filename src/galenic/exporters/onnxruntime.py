"""ONNX files for ONNX Runtime: float32, or INT8 where the model has a QuantSpec.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from galenic.exporters.ends import Lowered, check_ends, write_file
from galenic.exporters.exporter import Exporter
from galenic.exporters.onnx_coverage import count_integer
from galenic.exporters.onnx_graph import serialized, to_graph
from galenic.exporters.onnx_int8 import check_rule, lower_int8
from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Preprocessing
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
        check_rule(RUNTIME, model.quant.rule)
        lowered = lower_int8(model, graph, count_integer)
    return write_file(model, path, lowered, runtime=RUNTIME, preprocessing=preprocessing, classes=classes)


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".onnx",
    version=2,
    summary="one ONNX file, float32 or INT8 (QDQ: uint8 activations, int8 weights per channel)",
    export=export,
    check_rule=partial(check_rule, RUNTIME),
    packages=("torch", "onnx", "onnxruntime"),
)
