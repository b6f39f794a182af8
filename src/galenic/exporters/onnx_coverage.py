"""Which layers of a QDQ file ONNX Runtime really computes on integers: counted in the graph that it makes of it.

A layer between Q and DQ nodes is only integer if the runtime fuses them; where it does not, it computes in float.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from galenic.exporters.onnx_graph import weighted_nodes
from galenic.record.artifact import IntegerOps

INTEGER_OPS = frozenset(
    {"QLinearConv", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "ConvInteger"}
)
FUSED_NAME = re.compile(r"_token_\d+$")  # what the runtime adds to a node's name when it fuses it
FATAL_ONLY = 4
# ONNX Runtime quantizes a float layer's weights itself where Q and DQ stand around it: it is no float layer then.
# The session that loads a file with kept layers turns this off too (galenic.runtimes.onnxruntime).
KEEPS_FLOAT = ("optimization.disable_specified_optimizers", "WeightBiasQuantization")


def count_integer(graph: ModelProto, quantized: bytes, keep: Sequence[str]) -> IntegerOps:
    """Integer and floating convolutions and dense layers of ``quantized``, made from the float ``graph``.

    ``keep`` are the layers that are meant to stay float; all others are expected to be integer.
    """
    nodes = optimised(quantized, bool(keep)).graph.node
    integer = {FUSED_NAME.sub("", node.name) for node in nodes if node.op_type in INTEGER_OPS}
    return tally([node.name for node in weighted_nodes(graph.graph)], integer, keep)


def tally(layers: Sequence[str], integer: Collection[str], keep: Sequence[str]) -> IntegerOps:
    """Integer and floating ones of all layers, by name; all but those of ``keep`` are expected to be integer."""
    floating = tuple(layer for layer in layers if layer not in integer)
    return IntegerOps(
        integer=len(layers) - len(floating),
        floating=len(floating),
        expected=len(layers) - len(keep),
        left_float=floating,
    )


def session_options(keeps_float: bool = False) -> Any:
    """ONNX Runtime's options for a look into a file: one thread, silent, its graph as a Session has it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.intra_op_num_threads = 1
    if keeps_float:
        options.add_session_config_entry(*KEEPS_FLOAT)
    return options


def optimised(quantized: bytes, keeps_float: bool = False) -> ModelProto:
    """The graph that ONNX Runtime makes of a file on this machine, as a Session would load it."""
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="galenic-optimised-") as folder:
        path = Path(folder) / "optimised.onnx"
        options = session_options(keeps_float)
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(quantized, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)
