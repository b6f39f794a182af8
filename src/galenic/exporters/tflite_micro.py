"""Files for TFLite Micro (.tflite): what LiteRT's exporter makes, with int8 at both ends where the net is quantized.

TFLite Micro has no kernel for int4 weights of dense layers: these are stored as int8, with the same values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from galenic.exporters import litert
from galenic.exporters.ends import Lowered
from galenic.exporters.exporter import Exporter
from galenic.exporters.litert_coverage import INT4, INT8, integers_of
from galenic.exporters.litert_file import WEIGHTED_OPS, kinds, packed, unpacked
from galenic.record.errors import ModelError
from galenic.record.quant import FLOAT_BITS, Arithmetic, QuantRule
from galenic.zoo.model import Model

RUNTIME = "tflite-micro"
HOLD_INT4 = frozenset({"CONV_2D"})
_KNOWN = (
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO "
    "CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE "
    "ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER "
    "GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOG_SOFTMAX LOGICAL_AND LOGICAL_NOT "
    "LOGICAL_OR LOGISTIC MAX_POOL_2D MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE "
    "READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND "
    "RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE "
    "SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE "
    "ZEROS_LIKE"
)
OPERATIONS = frozenset(_KNOWN.split())
"""What its interpreter knows: the resolver of the Python wheel that its runtime pins."""


def lower(model: Model) -> Lowered:
    """One .tflite file; ModelError for what cannot be converted."""
    held = litert.lower_channels_first(model)
    file = unpacked(held.data)
    _check_operations(file, model.spec.architecture)
    if model.quant is None:
        return held
    _widen(file)
    _without_float_ends(file)
    return replace(held, data=packed(file))


def check_rule(rule: QuantRule) -> None:
    """ModelError unless the ranges are known before: TFLite Micro finds none, and makes no floats of integer weights."""
    if rule.arithmetic is not Arithmetic.STATIC:
        raise ModelError(
            given=f"{rule.arithmetic.value} for {RUNTIME}",
            expected=f"{Arithmetic.STATIC.value}: it has no kernels for integer weights beside float activations",
            todo="choose static_int8 or static_w4a8, or another runtime",
        )
    floats = [one for one in rule.layers if FLOAT_BITS in (one.weight_bits, one.activation_bits)]
    integers = tuple(one for one in rule.layers if one not in floats)
    litert.check_rule(RUNTIME, rule.model_copy(update={"layers": integers}))


def place_of(kind: str, tensor: str) -> str:
    """Where an operation is in the user's model, by the name of the tensor that it makes (``litert_file``)."""
    name = tensor.partition(":")[0]
    path = name if kind in WEIGHTED_OPS else name.rpartition("/")[0]
    return f"in the module '{path}'" if path else "in the model's own forward"


def _check_operations(file: Any, name: str) -> None:
    graph = file.subgraphs[0]
    for kind, operator in zip(kinds(file), graph.operators, strict=True):
        if kind not in OPERATIONS:
            tensor = graph.tensors[operator.outputs[0]].name.decode()
            raise ModelError(
                given=f"{name} cannot become a file for {RUNTIME}: {kind} {place_of(kind, tensor)}, which makes '{tensor}'",
                expected="operations that TFLite Micro's interpreter knows",
                todo="put another operation there (ReLU, hardswish, SiLU), or choose litert",
            )


def _widen(file: Any) -> None:
    """Int4 weights that no kernel reads become int8 ones."""
    graph = file.subgraphs[0]
    for kind, operator in zip(kinds(file), graph.operators, strict=True):
        for tensor in (graph.tensors[number] for number in operator.inputs if number >= 0):
            if tensor.type == INT4 and kind not in HOLD_INT4:
                file.buffers[tensor.buffer].data = integers_of(file, tensor).reshape(-1).view(np.uint8)
                tensor.type = INT8


def _without_float_ends(file: Any) -> None:
    """The first QUANTIZE and the last DEQUANTIZE are left to whoever has the input; both, or neither where an end stays float."""
    graph, found = file.subgraphs[0], kinds(file)
    if (found[0], found[-1]) != ("QUANTIZE", "DEQUANTIZE"):
        return
    graph.inputs = [int(graph.operators[0].outputs[0])]
    graph.outputs = [int(graph.operators[-1].inputs[0])]
    graph.operators = graph.operators[1:-1]
    for signature in file.signatureDefs or []:
        for entry, number in zip(signature.inputs, graph.inputs, strict=True):
            entry.tensorIndex = number
        for entry, number in zip(signature.outputs, graph.outputs, strict=True):
            entry.tensorIndex = number


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".tflite",
    version=2,
    summary="one .tflite file for microcontrollers: integers from end to end, or float32",
    lower=lower,
    check_rule=check_rule,
    packages=litert.EXPORTER.packages,
    needs=litert.EXPORTER.needs,
    install=litert.EXPORTER.install,
    text=False,
    label=litert.EXPORTER.label,
)
