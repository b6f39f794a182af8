"""A float ONNX graph as a QDQ one: uint8 activations, int8 weights (per output channel), int32 biases.

    real = scale * (integer - zero_point)

ONNX Runtime's own quantizer places the Q and DQ nodes, on the model's own points. Weights of fewer bits lie on their grid in int8.
The logits stay float: 256 levels would make ties that an AUC sees. A bias is no point, it follows: int32 at
scale(input) * scale(weight). On x86 without VNNI the runtime's uint8 x int8 kernels may saturate; with it they do not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from galenic.exporters.matching import refuse_unmatched
from galenic.exporters.onnx_graph import INPUT, OUTPUT, WEIGHTED_OPS, weighted_nodes
from galenic.record.errors import ModelError
from galenic.record.quant import QuantPoint, QuantSpec, TensorRole

# Sorted: the quantizer's own default is a set, whose order changes from process to process.
QUANTIZED_OPS = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "Pad",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
Q, DQ = "QuantizeLinear", "DequantizeLinear"
PLACEHOLDER = (0.0, 1.0)
SHORT_SUFFIXES = {"_QuantizeLinear_Output": ":q", "_DequantizeLinear_Output": ":dq"}


def to_qdq(graph: ModelProto, spec: QuantSpec, grids: Mapping[str, QuantPoint]) -> ModelProto:
    """The QDQ graph of a float one.

    Args:
        graph: named by modules (``onnx_graph.to_graph``); not changed.
        spec: the weights' points, and which layers stay float.
        grids: the point of each activation by its name in ``graph``.

    Raises:
        ModelError: an integer tensor has no point, or a point is of another model.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    prepared = ModelProto()
    prepared.CopyFrom(graph)
    add_pre_process_metadata(prepared)  # what the quantizer would do first (folding batch norm) has been done
    overrides = {name: _entries(point) for name, point in grids.items()} | _weight_entries(graph, spec)
    # every tensor needs some range, also those that will have no Q of their own
    names = sorted({INPUT} | {tensor for node in graph.graph.node for tensor in node.output})
    ranges = {name: (np.float32(PLACEHOLDER[0]), np.float32(PLACEHOLDER[1])) for name in names}
    data = {name: (np.array(low), np.array(high)) for name, (low, high) in ranges.items()}
    with tempfile.TemporaryDirectory(prefix="galenic-qdq-") as folder:
        known, made = Path(folder) / "ranges.json", Path(folder) / "model.onnx"
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), known)
        quantize_static(
            prepared,
            made,
            None,
            calibration_cache_path=known,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED_OPS),
            nodes_to_exclude=list(spec.stays_float),
            per_channel=spec.rule.per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "MatMulConstBOnly": True,
                "TensorQuantOverrides": overrides,
                "QDQDisableWeightAdjustForInt32Bias": True,  # room for the bias is in the weights' points
            },
        )
        quantized = onnx.load(made)
    release_logits(quantized)
    _check_grids(graph, quantized, overrides)
    return quantized


def release_logits(model: ModelProto) -> None:
    """Take the last Q and DQ away where a dense layer makes the logits, in place."""
    graph = model.graph
    makers = {tensor: node for node in graph.node for tensor in node.output}
    last = makers[OUTPUT]
    before = makers.get(last.input[0]) if last.op_type == DQ else None
    layer = makers.get(before.input[0]) if before is not None and before.op_type == Q else None
    if layer is None or before is None or layer.op_type not in WEIGHTED_OPS - {"Conv", "ConvTranspose"}:
        return
    layer.output[0] = OUTPUT
    graph.node.remove(last)
    graph.node.remove(before)
    drop_unused(model)


def rounded_tensors(quantized: ModelProto) -> list[str]:
    """The activations that a QDQ graph rounds, by the name of the float tensor."""
    return [node.input[0] for node in quantized.graph.node if node.op_type == Q]


def make_lean(model: ModelProto) -> None:
    """Take out bytes that say nothing, in place: the zero points of biases, which are 0, and long names of Q and DQ.

    This is up to a fifth of the file of a small net. The zero points of weights stay: without them nothing is fused.
    """
    integers = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == DQ and integers.get(node.input[0]) == onnx.TensorProto.INT32:
            del node.input[2:]
        if node.op_type in {Q, DQ}:
            node.ClearField("name")
        node.input[:] = [_short(tensor) for tensor in node.input]
        node.output[:] = [_short(tensor) for tensor in node.output]
    drop_unused(model)


def _short(tensor: str) -> str:
    for suffix, short in SHORT_SUFFIXES.items():
        if tensor.endswith(suffix):
            return tensor.removesuffix(suffix) + short
    return tensor


def drop_unused(model: ModelProto) -> None:
    """Take the constants away that no node reads, in place."""
    graph = model.graph
    used = {tensor for node in graph.node for tensor in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _entries(point: QuantPoint) -> list[dict[str, Any]]:
    """A point as the quantizer takes it: one entry per channel, the first with its axis."""
    from onnxruntime.quantization import QuantType

    is_weight = point.role is TensorRole.WEIGHT
    kind, integer = (QuantType.QInt8, np.int8) if is_weight else (QuantType.QUInt8, np.uint8)
    entries: list[dict[str, Any]] = [
        {"quant_type": kind, "scale": np.array(scale, np.float32), "zero_point": np.array(zero_point, integer)}
        for scale, zero_point in zip(point.scale, point.zero_point, strict=True)
    ]
    if point.axis is not None:
        entries[0]["axis"] = point.axis
    return entries


def _weight_entries(graph: ModelProto, spec: QuantSpec) -> dict[str, list[dict[str, Any]]]:
    nodes = {node.name: node for node in weighted_nodes(graph.graph)}
    entries = {}
    for point in spec.points:
        if point.role is not TensorRole.WEIGHT:
            continue
        if point.tensor not in nodes:
            raise ModelError(
                given=f"a quantization point for the weight of {point.tensor}",
                expected=f"points for layers that this model has: {', '.join(list(nodes)[:4])} ...",
                todo="quantize this model anew: the points are those of another one",
            )
        node = nodes[point.tensor]
        found = _entries(point)
        if point.axis is not None:
            found[0]["axis"] = output_axis(node)
        entries[node.input[1]] = found
    missing = set(nodes) - set(spec.stays_float) - {point.tensor for point in spec.points}
    if missing:
        raise ModelError(
            given=f"a quantization without a point for the weight of {sorted(missing)[0]}",
            expected="a point for every layer that does not stay float",
            todo="quantize this model anew",
        )
    return entries


def output_axis(node: onnx.NodeProto) -> int:
    """The axis of a layer's weight that counts its output channels."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    columns = node.op_type in {"MatMul", "ConvTranspose"} or (node.op_type == "Gemm" and not attributes.get("transB"))
    return 1 if columns else 0


def _check_grids(graph: ModelProto, quantized: ModelProto, overrides: Mapping[str, list[dict[str, Any]]]) -> None:
    """ModelError where a tensor of the file has another grid than the one it was given, or was given none."""
    values = {tensor.name: tensor for tensor in quantized.graph.initializer}
    paths = {node.input[1] for node in weighted_nodes(graph.graph)}
    ungiven = []
    for node in quantized.graph.node:
        tensor = node.input[0] if node.op_type == Q else node.input[0].removesuffix("_quantized")
        if node.op_type not in {Q, DQ} or (node.op_type == DQ and tensor not in paths):
            continue
        if tensor in overrides and node.input[1] != f"{tensor}_scale":
            continue  # a view or a pool that takes over its input's grid
        given = [float(entry["scale"]) for entry in overrides.get(tensor, ())]
        if given != numpy_helper.to_array(values[node.input[1]]).reshape(-1).tolist():
            ungiven.append(tensor)
    refuse_unmatched("ONNX", ungiven)
