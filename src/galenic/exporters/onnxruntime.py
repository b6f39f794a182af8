"""ONNX files for ONNX Runtime: float32, or INT8 where the model has a QuantSpec.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from onnx import ModelProto

from galenic.exporters.calibrate import find_ranges
from galenic.exporters.exporter import Exporter
from galenic.exporters.onnx_coverage import count_integer
from galenic.exporters.onnx_graph import serialized, strip, to_graph, weighted_nodes
from galenic.exporters.onnx_qdq import make_lean, read_points, to_qdq
from galenic.record.artifact import Artifact, IntegerOps
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.quant import QuantRule, QuantSpec
from galenic.store.files import write_bytes
from galenic.zoo.macs import count_macs
from galenic.zoo.model import Model, parameters

RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Lowered:
    """A model as the bytes of a file, with what its integers are."""

    data: bytes
    precision: str
    quant: QuantSpec | None = None
    integer_ops: IntegerOps | None = None


def export(
    model: Model,
    path: Path,
    *,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    calibration: np.ndarray | None = None,
) -> Artifact:
    """Write ``model`` to ``path`` as one ONNX file: whole, or not at all.

    Args:
        model: at rest in eval mode; INT8 where it has a QuantSpec.
        path: of the file; what is there is replaced in one step.
        preprocessing: travels with the file, and gives inputs of the model's shape.
        classes: one name per output.
        calibration: (n, *input_shape) float32 preprocessed rows; needed where a QuantSpec has no points yet.

    Raises:
        ModelError: the model cannot be exported, or the rule cannot be held by this runtime.
        StoreError: the file cannot be written; what was there is unchanged.
    """
    _check_ends(model, preprocessing, classes)
    if model.quant is not None and preprocessing.text is not None:
        raise ModelError(
            given=f"{model.spec.architecture}, a text net, as {model.quant.rule.weight_bits}-bit integers",
            expected="a float text net: static ranges of its activations are not supported yet",
            todo="export it without a quantization",
        )
    graph = to_graph(model)
    if model.quant is None:
        lowered = Lowered(serialized(graph), "float32")
    else:
        lowered = lower_int8(graph, model.quant, calibration)
    write_bytes(path, lowered.data)
    return Artifact(
        path=path,
        runtime=RUNTIME,
        precision=lowered.precision,
        sha256=hashlib.sha256(lowered.data).hexdigest(),
        size_bytes=len(lowered.data),
        lineage=model.lineage,
        preprocessing=preprocessing,
        classes=classes,
        macs=count_macs(model),
        parameters=parameters(model),
        quant=lowered.quant,
        integer_ops=lowered.integer_ops,
    )


def lower_int8(graph: ModelProto, spec: QuantSpec, calibration: np.ndarray | None) -> Lowered:
    """A float graph as INT8 bytes: on the points of ``spec`` where it has some, else on ranges of ``calibration``."""
    check_rule(spec.rule)
    keep = kept_layers(graph, spec.rule.keep)
    ranges = {} if spec.points else find_ranges(graph, _checked(graph, calibration), spec.rule.observer)
    quantized = to_qdq(graph, spec.rule, ranges, spec.points, keep)
    points = read_points(graph, quantized)
    strip(quantized)
    make_lean(quantized)
    data = serialized(quantized)
    filled = QuantSpec(rule=spec.rule, points=points, stays_float=keep)
    return Lowered(data, "int8", filled, count_integer(graph, data, keep))


def check_rule(rule: QuantRule) -> None:
    """ModelError where ONNX Runtime cannot compute such a quantization on integers."""
    if (rule.weight_bits, rule.activation_bits) != (8, 8):
        raise ModelError(
            given=f"{rule.weight_bits}-bit weights with {rule.activation_bits}-bit activations for {RUNTIME}",
            expected="8-bit weights and 8-bit activations, which are what it computes on integers",
            todo="choose static_int8, or another runtime",
        )


def kept_layers(graph: ModelProto, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The layers whose path, or that of a module around them, matches a pattern; ModelError where one matches none."""
    layers = [node.name for node in weighted_nodes(graph.graph)]
    kept: set[str] = set()
    for pattern in patterns:
        matched = [layer for layer in layers if any(fnmatchcase(path, pattern) for path in _with_parents(layer))]
        if not matched:
            near = difflib.get_close_matches(pattern, {path for layer in layers for path in _with_parents(layer)}, n=1)
            raise ModelError(
                given=f"keep = '{pattern}', which matches no layer",
                expected=f"a pattern for one of {', '.join(layers[:6])}{' ...' if len(layers) > 6 else ''}",
                todo=f"did you mean '{near[0]}'?" if near else "correct the pattern or remove it",
            )
        kept.update(matched)
    return tuple(layer for layer in layers if layer in kept)


def _with_parents(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _check_ends(model: Model, preprocessing: Preprocessing, classes: tuple[str, ...]) -> None:
    if model.spec.input_shape != preprocessing.input_shape:
        raise ModelError(
            given=f"{model.spec.architecture} takes inputs of shape {model.spec.input_shape}",
            expected=f"{preprocessing.input_shape}, which is what the preprocessing gives",
            todo="build the model for this task",
        )
    if model.spec.outputs != len(classes):
        raise ModelError(
            given=f"{model.spec.architecture} has {model.spec.outputs} outputs",
            expected=f"{len(classes)}: one for each of {', '.join(classes)}",
            todo="build the model for this task",
        )


def _checked(graph: ModelProto, calibration: np.ndarray | None) -> np.ndarray:
    shape = tuple(side.dim_value for side in graph.graph.input[0].type.tensor_type.shape.dim[1:])
    if calibration is None or calibration.shape[1:] != shape or len(calibration) == 0:
        raise ModelError(
            given=f"calibration rows {'missing' if calibration is None else f'of shape {calibration.shape}'}",
            expected=f"preprocessed rows of shape (n, {', '.join(map(str, shape))}), from the calibration split",
            todo="pass calibration=, some hundred rows that are like those in use",
        )
    return np.ascontiguousarray(calibration, dtype=np.float32)


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".onnx",
    version=1,
    summary="one ONNX file, float32 or INT8 (QDQ: uint8 activations, int8 weights per channel)",
    export=export,
    check_rule=check_rule,
)
