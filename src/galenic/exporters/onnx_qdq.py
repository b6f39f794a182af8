"""A float ONNX graph as a QDQ one: uint8 activations, int8 weights (per output channel), int32 biases.

    real = scale * (integer - zero_point)

ONNX Runtime's own quantizer places the Q and DQ nodes, on ranges that our observers found or on points that are given.
The logits stay float: 256 levels would make ties that an AUC sees. A bias is no point, it follows: int32 at
scale(input) * scale(weight). On x86 without VNNI the runtime's uint8 x int8 kernels may saturate; with it they do not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from galenic.exporters.observers import Range
from galenic.exporters.onnx_graph import INPUT, OUTPUT, WEIGHTED_OPS, weighted_nodes
from galenic.record.errors import ModelError
from galenic.record.quant import QuantPoint, QuantRule, TensorRole

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
LEVELS = 255
PLACEHOLDER: Range = (0.0, 1.0)
SHORT_SUFFIXES = {"_QuantizeLinear_Output": ":q", "_DequantizeLinear_Output": ":dq"}


def to_qdq(
    graph: ModelProto, rule: QuantRule, ranges: dict[str, Range], points: Sequence[QuantPoint], keep: Sequence[str]
) -> ModelProto:
    """The QDQ graph of a float one.

    Args:
        graph: named by modules (``onnx_graph.to_graph``); not changed.
        rule: whether weights have a scale per channel.
        ranges: (low, high) of each activation, by its name; not read where there are ``points``.
        points: scales and zero points that are given and not to be found; empty where everything is found.
        keep: the names of the nodes that stay float.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    prepared = ModelProto()
    prepared.CopyFrom(graph)
    add_pre_process_metadata(prepared)  # what the quantizer would do first (folding batch norm) has been done
    if points:  # every tensor needs some range, also those that will have no Q of their own
        tensors = {INPUT} | {tensor for node in graph.graph.node for tensor in node.output}
        ranges = dict.fromkeys(sorted(tensors), PLACEHOLDER)
    ranges = ranges | {point.tensor: _range_of(point) for point in points if point.role is not TensorRole.WEIGHT}
    data = {name: (np.array(low, np.float32), np.array(high, np.float32)) for name, (low, high) in ranges.items()}
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
            nodes_to_exclude=list(keep),
            per_channel=rule.per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True, "TensorQuantOverrides": _overrides(graph, points)},
        )
        quantized = onnx.load(made)
    release_logits(quantized)
    _check_all_given(read_points(graph, quantized), points)
    return quantized


def read_points(graph: ModelProto, quantized: ModelProto) -> tuple[QuantPoint, ...]:
    """Every activation's and weight's scale and zero point as they stand in the QDQ graph, in its order.

    A tensor bears the name of the node that makes it in the float ``graph`` (a module's path for a convolution or dense
    layer); one that only reshapes another shares its grid and is no point of its own.
    """
    values = {tensor.name: tensor for tensor in quantized.graph.initializer}
    paths = {node.input[1]: node.name for node in reversed(weighted_nodes(graph.graph))}
    found: dict[tuple[str, TensorRole], QuantPoint] = {}
    for node in quantized.graph.node:
        if node.op_type == Q and node.input[1] == f"{node.input[0]}_scale":
            role = TensorRole.INPUT if node.input[0] == INPUT else TensorRole.OUTPUT
            point = _point(node.input[0], role, node, values)
        elif node.op_type == DQ and node.input[0].removesuffix("_quantized") in paths:
            point = _point(paths[node.input[0].removesuffix("_quantized")], TensorRole.WEIGHT, node, values)
        else:
            continue
        found.setdefault((point.tensor, point.role), point)
    return tuple(found.values())


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
    _drop_unused(model)


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
    _drop_unused(model)


def _short(tensor: str) -> str:
    for suffix, short in SHORT_SUFFIXES.items():
        if tensor.endswith(suffix):
            return tensor.removesuffix(suffix) + short
    return tensor


def _drop_unused(model: ModelProto) -> None:
    graph = model.graph
    used = {tensor for node in graph.node for tensor in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _point(tensor: str, role: TensorRole, node: onnx.NodeProto, values: dict[str, onnx.TensorProto]) -> QuantPoint:
    scale, zero_point = (numpy_helper.to_array(values[name]) for name in node.input[1:3])
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    return QuantPoint(
        tensor=tensor,
        role=role,
        bits=8 * zero_point.dtype.itemsize,
        scale=tuple(float(value) for value in scale.reshape(-1)),
        zero_point=tuple(int(value) for value in zero_point.reshape(-1)),
        axis=None if scale.ndim == 0 else int(axis),
    )


def _overrides(graph: ModelProto, points: Sequence[QuantPoint]) -> dict[str, list[dict[str, Any]]]:
    """Points as the quantizer takes them: one entry per channel, the first with its axis."""
    from onnxruntime.quantization import QuantType

    weights = {node.name: node.input[1] for node in weighted_nodes(graph.graph)}
    tensors = {INPUT} | {tensor for node in graph.graph.node for tensor in node.output}
    overrides = {}
    for point in points:
        is_weight = point.role is TensorRole.WEIGHT
        if point.tensor not in (weights if is_weight else tensors) or point.bits != 8:
            raise ModelError(
                given=f"a quantization point for the {point.role.value} of {point.tensor} with {point.bits} bits",
                expected="8-bit points for tensors that this model has",
                todo="quantize this model anew: the points are those of another one",
            )
        kind, integer = (QuantType.QInt8, np.int8) if is_weight else (QuantType.QUInt8, np.uint8)
        entries: list[dict[str, Any]] = [
            {"quant_type": kind, "scale": np.array(scale, np.float32), "zero_point": np.array(zero_point, integer)}
            for scale, zero_point in zip(point.scale, point.zero_point, strict=True)
        ]
        if point.axis is not None:
            entries[0]["axis"] = point.axis
        overrides[weights[point.tensor] if is_weight else point.tensor] = entries
    return overrides


def _check_all_given(found: Sequence[QuantPoint], given: Sequence[QuantPoint]) -> None:
    """ModelError where points are given, but not those, and only those, that the graph needs."""
    needed, known = ({(point.tensor, point.role) for point in some} for some in (found, given))
    if given and needed != known:
        tensor, role = sorted(needed ^ known)[0]
        raise ModelError(
            given=f"quantization points {'without' if (tensor, role) in needed else 'with'} the {role} of {tensor}",
            expected=f"the {len(needed)} points that this model's integer layers need",
            todo="quantize this model anew",
        )


def _range_of(point: QuantPoint) -> Range:
    scale, zero_point = point.scale[0], point.zero_point[0]
    return -zero_point * scale, (LEVELS - zero_point) * scale
