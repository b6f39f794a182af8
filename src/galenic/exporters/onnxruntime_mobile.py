"""ORT files (.ort) for ONNX Runtime on phones: the graph of onnxruntime's own file, as ONNX Runtime optimises it, in its format.

    fixed style, all levels but the NCHWc layout
ONNX Runtime does not optimise an .ort file as it loads it: what the file has not, the device does not do. All that is true of
every processor is therefore in the file: folded constants, fused layers, integer operators (QLinearConv ...), and channels last
for the integer ones. The NCHWc layout is not: its block size is that of the processor that made the file (16 with AVX-512, 8 with
AVX2).

Measured with ONNX Runtime 1.31 on x86 (AVX-512), one thread, milliseconds: the .onnx file, this one, one of level extended (or of
the runtime style, whose saved optimisations a session replays only where it is told to)
    MobileNetV3-small, 64 px    float .72  1.78  1.80    INT8 .77  .64  .66
    ResNet-8, 32 px             float .30   .44   .46    INT8 .156  .147  .150
    ds_conv1d, 128 samples      float .034  .034  .034   INT8 .022  .020  .021
So INT8 loses nothing, and float two-dimensional nets lose on x86 what NCHWc is worth there.

float16 is refused: where a processor has no float16 arithmetic, as most x86 ones, ONNX Runtime makes float32 of all float16
constants as it converts, and the file is larger than the float32 one. Integer weights behind float arithmetic are folded to
float32 in the same way; only dense ones, in MatMulNBits, stay as they are. The format has no INT4: such weights of integer layers
lie in INT8.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import ModelProto

from galenic.exporters.ends import Lowered
from galenic.exporters.exporter import Exporter
from galenic.exporters.matching import weights
from galenic.exporters.onnx_coverage import FUSED_NAME, INTEGER_OPS, KEEPS_FLOAT, session_options, tally
from galenic.exporters.onnx_dense import lower_dense
from galenic.exporters.onnx_graph import serialized, to_graph, weighted_nodes
from galenic.exporters.onnx_int8 import check_static, lower_int8
from galenic.exporters.ort_file import Tree, labelled, packed, unpacked
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule, QuantSpec
from galenic.zoo.model import Model

RUNTIME = "onnxruntime-mobile"
MACHINES_OWN = "NchwcTransformer"
"""The one optimisation whose result is for processors like this one alone."""
HELD = "MatMulNBits"


def lower(model: Model) -> Lowered:
    """One .ort file; ModelError for what cannot be exported."""
    graph = to_graph(model)
    if model.quant is None:
        return Lowered(to_ort(serialized(graph)), "float32")
    return LOWERINGS[model.quant.rule.arithmetic](model, graph)


def lower_static(model: Model, graph: ModelProto) -> Lowered:
    """The integer file; its integer operations are counted in itself."""
    lowered = lower_int8(model, graph, count_integer)
    assert model.quant is not None
    return replace(lowered, data=to_ort(lowered.data, keeps_float=bool(model.quant.stays_float)))


def lower_weights(model: Model, graph: ModelProto) -> Lowered:
    """Dense layers in MatMulNBits; ModelError where another layer has integer weights."""
    lowered = lower_dense(model, graph)
    assert model.quant is not None
    refuse_folded(model.quant, onnx.load_from_string(lowered.data))
    return replace(lowered, data=to_ort(lowered.data))


LOWERINGS: Mapping[Arithmetic, Callable[[Model, ModelProto], Lowered]] = {
    Arithmetic.STATIC: lower_static,
    Arithmetic.DYNAMIC: lower_weights,
    Arithmetic.WEIGHTS: lower_weights,
}


def to_ort(data: bytes, keeps_float: bool = False) -> bytes:
    """The bytes of an ONNX file in the ORT format, optimised for every processor.

    Args:
        data: the ONNX file.
        keeps_float: layers between Q and DQ are to stay float.
    """
    import onnxruntime

    unwanted = (MACHINES_OWN, *KEEPS_FLOAT[1:]) if keeps_float else (MACHINES_OWN,)
    with tempfile.TemporaryDirectory(prefix="galenic-ort-") as folder:
        path = Path(folder) / "model.ort"
        options = session_options()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(path)
        options.add_session_config_entry("session.save_model_format", "ORT")
        options.add_session_config_entry(KEEPS_FLOAT[0], ";".join(unwanted))
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return packed(unpacked(path.read_bytes()))


def count_integer(graph: ModelProto, quantized: bytes, keep: Sequence[str]) -> IntegerOps:
    """Integer and floating layers of the .ort file of ``quantized``, made from the float ``graph``: read from its operations."""
    nodes = operations(unpacked(to_ort(quantized, bool(keep))))
    integer = {FUSED_NAME.sub("", node["name"]) for node in nodes if node["op_type"] in INTEGER_OPS}
    return tally([node.name for node in weighted_nodes(graph.graph)], integer, keep)


def operations(tree: Tree) -> list[Tree]:
    """The operations of a file, each with ``name``, ``domain`` and ``op_type``."""
    nodes: list[Tree] = tree["model"]["graph"]["nodes"]
    return nodes


def refuse_folded(spec: QuantSpec, made: ModelProto) -> None:
    """ModelError where integer weights of a file would be float32 ones after its conversion."""
    held = {node.name for node in made.graph.node if node.op_type == HELD}
    folded = [layer for layer in weights(spec.points) if layer not in held]
    if folded:
        raise ModelError(
            given=f"{', '.join(folded[:4])}{' ...' if len(folded) > 4 else ''} with integer weights and float arithmetic "
            f"for {RUNTIME}",
            expected="dense layers, in groups of 16, 32, 64, 128 or 256 or none: ONNX Runtime makes float32 of all others as it "
            "converts, and nothing becomes smaller",
            todo="choose static_int8, or another runtime, or keep these layers float (keep = [...])",
        )


def check_rule(rule: QuantRule) -> None:
    """ModelError where an .ort file cannot hold such a quantization."""
    if rule.arithmetic is Arithmetic.STATIC:
        check_static(RUNTIME, rule)
    elif rule.arithmetic not in LOWERINGS:
        raise ModelError(
            given=f"{rule.arithmetic.value} for {RUNTIME}",
            expected=f"one of {', '.join(LOWERINGS)}: as it converts, ONNX Runtime makes float32 of 16-bit numbers where the "
            "processor has no such arithmetic, and the file becomes larger than a float32 one",
            todo="choose one of these, or litert or coreml for 16-bit numbers on a phone",
        )


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".ort",
    version=1,
    summary="one .ort file: float32, INT8, or integer weights of dense layers",
    lower=lower,
    check_rule=check_rule,
    packages=("torch", "onnx", "onnxruntime"),
    label=labelled,
)
