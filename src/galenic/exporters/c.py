"""One C99 file for a microcontroller: integers alone, nothing allocated, no library (int8, or int4 weights).

What it computes is what TFLite Micro computes of the same model's .tflite file, in the same arithmetic.
"""

from __future__ import annotations

from dataclasses import replace

from galenic.exporters import litert
from galenic.exporters.c_graph import read
from galenic.exporters.c_source import entrance, source_of
from galenic.exporters.ends import Lowered
from galenic.exporters.exporter import Exporter
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.quant import FLOAT_BITS, Arithmetic, QuantRule
from galenic.zoo.model import Model

RUNTIME = "c"


def lower(model: Model) -> Lowered:
    """The net of a statically quantized model; ModelError for what no kernel here computes."""
    if model.quant is None:
        raise _refused(f"{model.spec.architecture} without a quantization, as C")
    name = model.spec.architecture
    held = litert.lower_channels_first(model)
    source = source_of(read(held.data, name), name)
    return replace(held, data=source.text.encode(), stored_bytes=source.stored_bytes)


def label(data: bytes, preprocessing: Preprocessing, classes: tuple[str, ...]) -> bytes:
    """The file with the function that preprocesses a raw row, and what it does as JSON beside the classes."""
    return data + entrance(preprocessing, classes).encode()


def check_rule(rule: QuantRule) -> None:
    """ModelError unless everything is an integer of at most 8 bits, with ranges that are known before."""
    floats = [one for one in rule.layers if FLOAT_BITS in (one.weight_bits, one.activation_bits)]
    if rule.arithmetic is not Arithmetic.STATIC or rule.keep or floats:
        kept = ", ".join([*rule.keep, *(one.layer for one in floats)])
        raise _refused(f"{rule.arithmetic.value} for {RUNTIME}" + (f" with {kept} kept float" if kept else ""))
    litert.check_rule(RUNTIME, rule)


def _refused(given: str) -> ModelError:
    return ModelError(
        given=given,
        expected="static integers from the input to the logits: the kernels in C have no floats",
        todo="quantize all of it with static_int8 or static_w4a8, or choose tflite-micro",
    )


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".c",
    version=3,
    summary="one C file for microcontrollers, integers throughout: no allocation, no library",
    lower=lower,
    check_rule=check_rule,
    packages=litert.EXPORTER.packages,
    needs=litert.EXPORTER.needs,
    install=litert.EXPORTER.install,
    text=False,
    label=label,
    float_runtime="tflite-micro",
)
