"""LiteRT files (.tflite), one row at a time, the channel last where they can: float32, or as the model's QuantSpec says.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from galenic.exporters.ends import Lowered
from galenic.exporters.exporter import Exporter
from galenic.exporters.litert_file import labelled
from galenic.record.errors import ModelError
from galenic.record.quant import HALF_BITS, Arithmetic, QuantRule
from galenic.zoo.model import Model

RUNTIME = "litert"
INTEGER_BITS = 8


def lower(model: Model) -> Lowered:
    """One .tflite file that takes (1, ..., channel) (``litert_layout``); ModelError for what cannot be converted."""
    from galenic.exporters.litert_layout import channels_last

    held = lower_channels_first(model)
    return replace(held, data=channels_last(held.data))


def lower_channels_first(model: Model) -> Lowered:
    """The same file as it is converted: it takes (1, channel, ...), and turns that itself."""
    if model.quant is None:
        from galenic.exporters.litert_graph import to_flatbuffer

        return Lowered(to_flatbuffer(model), "float32")
    from galenic.exporters.litert_int8 import lower_quantized

    return lower_quantized(model)


def check_rule(runtime: str, rule: QuantRule) -> None:
    """ModelError where a .tflite file, for ``runtime``, cannot hold such a quantization."""
    if rule.arithmetic is Arithmetic.BFLOAT16:
        raise _refused(f"bfloat16 for {runtime}", "static, dynamic, weights or float16: it has no kernels for bfloat16")
    if rule.group_size and rule.arithmetic is not Arithmetic.WEIGHTS:
        raise _refused(
            f"{rule.arithmetic.value} integers with one scale for each {rule.group_size} weights for {runtime}",
            "one scale per channel or tensor: its integer kernels know no groups but with scales of 8 bits, which would change "
            "every weight",
        )
    weight_bits = {rule.weight_bits, *(one.weight_bits for one in rule.layers)}
    activation_bits = {rule.activation_bits, *(one.activation_bits for one in rule.layers)}
    integers = {bits for bits in activation_bits if bits is not None and bits < HALF_BITS}
    if integers - {INTEGER_BITS} or any(bits is not None and INTEGER_BITS < bits < HALF_BITS for bits in weight_bits):
        raise _refused(
            f"{rule.weight_bits}-bit weights with {rule.activation_bits}-bit activations for {runtime}",
            "weights of up to 8 bits and 8-bit activations, as its kernels compute them",
        )


def _refused(given: str, expected: str) -> ModelError:
    return ModelError(given, expected, "choose static_int8, weight_int4 (for groups), or another runtime")


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".tflite",
    version=4,
    summary="one LiteRT file, one row at a time: float32, float16, integer weights, or integers throughout",
    lower=lower,
    check_rule=partial(check_rule, RUNTIME),
    packages=("torch", "litert-torch", "litert-converter", "ai-edge-quantizer"),
    needs=("litert_torch", "litert_converter", "ai_edge_litert", "ai_edge_quantizer", "jax", "torchao"),
    install=("pip install 'galenic[litert]' && pip install --no-deps litert-torch==0.10.0 litert-converter==0.5.0"),
    text=False,
    label=labelled,
)
