"""ONNX files for TensorRT: float32, float16, INT8 with explicit quantization (QDQ), or INT4 weights of dense layers.

Every file is checked against TensorRT's rules (``tensorrt_rules``) before it is written. No engine is built of it here: integer
layers are counted as the rules say that TensorRT takes them.
The integers are those of symmetric grids (``tensorrt_grids``), which the Artifact's QuantSpec names, and its simulation has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from galenic.exporters.ends import Lowered, check_weights
from galenic.exporters.exporter import Exporter
from galenic.exporters.matching import weights
from galenic.exporters.onnx_coverage import tally
from galenic.exporters.onnx_graph import OPSET, labelled, serialized, strip, to_graph, weighted_nodes
from galenic.exporters.onnx_half import lower_half
from galenic.exporters.onnx_int8 import check_static, lower_int8
from galenic.exporters.onnx_qdq import DQ, drop_unused, output_axis
from galenic.exporters.openvino_release import release
from galenic.exporters.tensorrt_grids import free_kept, symmetric_spec, to_symmetric
from galenic.exporters.tensorrt_rules import BLOCKS, DENSE, OPSET_OF_INT4, Graph, Violation, rules
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantPoint, QuantRule
from galenic.zoo.model import Model

RUNTIME = "tensorrt"
FEW_BITS = 4


def lower(model: Model) -> Lowered:
    """One ONNX file that keeps TensorRT's rules; ModelError for what cannot be exported, or breaks one."""
    arithmetic = None if model.quant is None else model.quant.rule.arithmetic
    graph = to_graph(model, OPSET_OF_INT4 if arithmetic is Arithmetic.WEIGHTS else OPSET)
    lowered = Lowered(serialized(graph), "float32") if arithmetic is None else LOWERINGS[arithmetic](model, graph)
    refuse_violations(model, rules(onnx.load_from_string(lowered.data)))
    return lowered


def lower_static(model: Model, graph: ModelProto) -> Lowered:
    """INT8: the model's grids as symmetric ones, without Q and DQ inside of what TensorRT computes as one operation."""

    def adapt(quantized: ModelProto) -> None:
        to_symmetric(quantized, graph)
        release(quantized)
        free_kept(quantized)

    lowered = lower_int8(model, graph, count_integer, adapt)
    assert lowered.quant is not None
    return replace(lowered, quant=symmetric_spec(lowered.quant))


def lower_weights(model: Model, graph: ModelProto) -> Lowered:
    """INT4 weights in blocks, which TensorRT makes floats of as it multiplies.

    Raises:
        ModelError: a layer is no dense one, or its weights do not come in whole blocks; or they are not those of the points.
    """
    spec = model.quant
    assert spec is not None
    check_weights(model)
    made = ModelProto()
    made.CopyFrom(graph)
    nodes = {node.name: node for node in weighted_nodes(made.graph)}
    for layer, point in weights(spec.points).items():
        _store_blocks(made, nodes[layer], point)
    drop_unused(made)
    strip(made)
    counted = IntegerOps(integer=0, floating=len(nodes), expected=0, left_float=tuple(nodes))
    return Lowered(serialized(made), f"{spec.rule.arithmetic.value}-int{spec.rule.weight_bits}", spec, counted)


LOWERINGS: Mapping[Arithmetic, Callable[[Model, ModelProto], Lowered]] = {
    Arithmetic.STATIC: lower_static,
    Arithmetic.WEIGHTS: lower_weights,
    Arithmetic.FLOAT16: lower_half,
}


def count_integer(graph: ModelProto, quantized: bytes, keep: Sequence[str]) -> IntegerOps:
    """Integer and floating layers of ``quantized``, made from the float ``graph``: integer is what takes two DQs of INT8."""
    file = Graph(onnx.load_from_string(quantized))
    layers = [node.name for node in weighted_nodes(graph.graph)]
    integer = {
        node.name for node in file.nodes if node.name in layers and all(map(file.dequantized, list(node.input)[:2]))
    }
    return tally(layers, integer, keep)


def refuse_violations(model: Model, found: Sequence[Violation]) -> None:
    """ModelError that names what a file would break."""
    if found:
        named = "; ".join(f"{one.node}: {one.words} ({one.rule})" for one in found[:4])
        raise ModelError(
            given=f"{model.spec.architecture} as a file for {RUNTIME}: {named}{' ...' if len(found) > 4 else ''}",
            expected="a file that keeps TensorRT's rules, which `galenic.exporters.tensorrt_rules` lists",
            todo="keep these layers float (keep = [...]), replace the operation, or choose onnxruntime",
        )


def check_rule(rule: QuantRule) -> None:
    """ModelError where TensorRT cannot hold such a quantization."""
    if rule.arithmetic is Arithmetic.STATIC:
        check_static(RUNTIME, rule)
    elif rule.arithmetic is Arithmetic.WEIGHTS:
        if rule.weight_bits > FEW_BITS or rule.group_size not in BLOCKS:
            raise ModelError(
                given=f"{rule.weight_bits}-bit weights in groups of {rule.group_size} behind float arithmetic for {RUNTIME}",
                expected=f"up to {FEW_BITS} bits in groups of {' or '.join(map(str, BLOCKS))}, its only weights of this kind",
                todo="set bits = 4 and group_size = 64, or choose static_int8",
            )
    elif rule.arithmetic not in LOWERINGS:
        raise ModelError(
            given=f"{rule.arithmetic.value} for {RUNTIME}",
            expected=f"one of {', '.join(LOWERINGS)}: it finds no ranges of activations as they come",
            todo="choose one of these, or onnxruntime",
        )


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".onnx",
    version=1,
    summary="one ONNX file by TensorRT's rules, checked as rules, not run here: float32, float16, INT8 (QDQ), INT4 dense weights",
    lower=lower,
    check_rule=check_rule,
    packages=("torch", "onnx", "onnxruntime"),
    label=labelled,
)


def _store_blocks(model: ModelProto, node: NodeProto, point: QuantPoint) -> None:
    """Put INT4 blocks and their DQ where a dense layer's weight was, in place."""
    name = node.input[1]
    weight = next((tensor for tensor in model.graph.initializer if tensor.name == name), None)
    outputs = output_axis(node)
    # A group that holds all the weights of an output is one block.
    block = point.group_size or (weight.dims[1 - outputs] if weight is not None and node.op_type in DENSE else 0)
    if weight is None or node.op_type not in DENSE or block not in BLOCKS:
        raise ModelError(
            given=f"{node.name}, {node.op_type} with {point.bits}-bit weights in groups of {block}, for {RUNTIME}",
            expected=f"dense layers whose input features come in whole groups of {' or '.join(map(str, BLOCKS))}",
            todo=f"keep it float: keep = ['{node.name}']",
        )
    turned = np.moveaxis(numpy_helper.to_array(weight), outputs, 0)
    scales = np.array(point.scale, np.float32).reshape(len(turned), -1)
    integers = np.rint(turned / np.repeat(scales, block, axis=1)).astype(np.int8)
    stored = np.ascontiguousarray(np.moveaxis(integers, 0, outputs))
    pairs = (stored.reshape(-1, 2).view(np.uint8) & 0xF).reshape(-1, 2)
    packed = (pairs[:, 0] | pairs[:, 1] << 4).tobytes()
    model.graph.initializer.append(
        TensorProto(name=f"{name}:int4", data_type=TensorProto.INT4, dims=stored.shape, raw_data=packed)
    )
    spread = np.ascontiguousarray(np.moveaxis(scales, 0, outputs))
    model.graph.initializer.append(numpy_helper.from_array(spread, f"{name}:scales"))
    made = helper.make_node(DQ, [f"{name}:int4", f"{name}:scales"], [f"{name}:dq"], axis=1 - outputs, block_size=block)
    node.input[1] = f"{name}:dq"
    later = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([made, *later])
