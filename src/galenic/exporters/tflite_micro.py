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
from galenic.exporters.litert_file import kinds, packed, unpacked
from galenic.record.errors import ModelError
from galenic.record.quant import FLOAT_BITS, Arithmetic, QuantRule
from galenic.zoo.model import Model

RUNTIME = "tflite-micro"
HOLD_INT4 = frozenset({"CONV_2D"})


def lower(model: Model) -> Lowered:
    """One .tflite file; ModelError for what cannot be converted."""
    held = litert.lower_channels_first(model)
    if model.quant is None:
        return held
    file = unpacked(held.data)
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


def _widen(file: Any) -> None:
    """Int4 weights that no kernel reads become int8 ones."""
    graph = file.subgraphs[0]
    for kind, operator in zip(kinds(file), graph.operators, strict=True):
        for tensor in (graph.tensors[number] for number in operator.inputs if number >= 0):
            if tensor.type == INT4 and kind not in HOLD_INT4:
                file.buffers[tensor.buffer].data = integers_of(file, tensor).reshape(-1).view(np.uint8)
                tensor.type = INT8


def _without_float_ends(file: Any) -> None:
    """The first QUANTIZE and the last DEQUANTIZE are left to whoever has the input."""
    graph, found = file.subgraphs[0], kinds(file)
    if found[0] == "QUANTIZE":
        graph.inputs = [int(graph.operators[0].outputs[0])]
        graph.operators = graph.operators[1:]
    if found[-1] == "DEQUANTIZE":
        graph.outputs = [int(graph.operators[-1].inputs[0])]
        graph.operators = graph.operators[:-1]
    for signature in file.signatureDefs or []:
        for entry, number in zip(signature.inputs, graph.inputs, strict=True):
            entry.tensorIndex = number
        for entry, number in zip(signature.outputs, graph.outputs, strict=True):
            entry.tensorIndex = number


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".tflite",
    version=1,
    summary="one .tflite file for microcontrollers: integers from end to end, or float32",
    lower=lower,
    check_rule=check_rule,
    packages=litert.EXPORTER.packages,
    needs=litert.EXPORTER.needs,
    install=litert.EXPORTER.install,
    text=False,
    label=litert.EXPORTER.label,
)
