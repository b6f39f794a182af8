"""Core ML files (.mlpackage, as one zip): float32 or float16 arithmetic, or integers as the model's QuantSpec says.

    float32             iOS 15     processor and GPU
    float16             iOS 15     the Neural Engine as well, which computes nothing else
    WEIGHTS, 8 bits     iOS 16     stored small, computed in float32; 4 bits or groups of weights: iOS 18
    STATIC              iOS 17     uint8 activations; with weights of up to 4 bits iOS 18
The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from galenic.exporters.coreml_package import labelled, packed
from galenic.exporters.coreml_program import PACKAGE, to_program
from galenic.exporters.ends import Lowered, check_weights
from galenic.exporters.exporter import Exporter
from galenic.exporters.matching import in_use, weights
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ModelError
from galenic.record.quant import HALF_BITS, Arithmetic, QuantRule, QuantSpec
from galenic.zoo.graph import layers, traced
from galenic.zoo.model import Model

RUNTIME = "coreml"
FLOAT_IOS, WEIGHTS_IOS, STATIC_IOS, BLOCKS_IOS = 15, 16, 17, 18
FEW_BITS, MOST_BITS = 4, 8


def lower(model: Model) -> Lowered:
    """One zip of an .mlpackage; ModelError for what cannot be converted."""
    if model.quant is None:
        return Lowered(packed(to_program(model, ios=FLOAT_IOS), FLOAT_IOS), "float32")
    return LOWERINGS[model.quant.rule.arithmetic](model)


def lower_half(model: Model) -> Lowered:
    """Float16 weights and arithmetic between float32 ends."""
    data = packed(to_program(model, ios=FLOAT_IOS, half=True), FLOAT_IOS)
    return Lowered(data, "float16", model.quant, IntegerOps(integer=0, floating=0, expected=0))


def lower_quantized(model: Model) -> Lowered:
    """Integer weights, and for STATIC integers between the operations; the points are the model's own.

    Raises:
        ModelError: the weights are not those of the points, or the model cannot be converted.
    """
    from galenic.exporters import coreml_grids as grids

    check_weights(model)
    spec = _spec(model)
    static = spec.rule.arithmetic is Arithmetic.STATIC
    graph, ios = traced(model), _ios(spec)
    names, held = tuple(layers(graph)), grids.held_weights(graph, spec)
    rounded = grids.rounded_tensors(graph, spec) if static else {}
    grids.round_activations(graph, rounded)
    program = to_program(model, graph, ios=ios, without=grids.KEEP_EXACT)
    taken = grids.hold_weights(program, held, ios)
    counted = grids.count_integer(names, held if static else {}, taken)
    return Lowered(packed(program, ios), _precision(spec), in_use(spec, rounded), counted)


LOWERINGS: Mapping[Arithmetic, Callable[[Model], Lowered]] = {
    Arithmetic.STATIC: lower_quantized,
    Arithmetic.WEIGHTS: lower_quantized,
    Arithmetic.FLOAT16: lower_half,
}


def check_rule(rule: QuantRule) -> None:
    """ModelError where Core ML cannot hold such a quantization."""
    if rule.arithmetic not in LOWERINGS:
        why = "it has no activations whose ranges are found in each call, and no bfloat16"
        raise _refused(f"{rule.arithmetic.value} arithmetic for {RUNTIME}", f"one of {', '.join(LOWERINGS)}: {why}")
    weight_bits = {rule.weight_bits, *(one.weight_bits for one in rule.layers)}
    activation_bits = {rule.activation_bits, *(one.activation_bits for one in rule.layers)}
    integers = {bits for bits in activation_bits if bits is not None and bits < HALF_BITS}
    if integers - {MOST_BITS} or any(bits is not None and MOST_BITS < bits < HALF_BITS for bits in weight_bits):
        raise _refused(
            f"{rule.weight_bits}-bit weights with {rule.activation_bits}-bit activations for {RUNTIME}",
            "weights of up to 8 bits and 8-bit activations, as its operations quantize and dequantize have them",
        )


def _ios(spec: QuantSpec) -> int:
    """The oldest version of iOS that has what a specification needs."""
    points = weights(spec.points).values()
    if any(point.group_size or point.bits <= FEW_BITS for point in points):
        return BLOCKS_IOS
    return STATIC_IOS if spec.rule.arithmetic is Arithmetic.STATIC else WEIGHTS_IOS


def _precision(spec: QuantSpec) -> str:
    if spec.rule.arithmetic is not Arithmetic.STATIC:
        return f"{spec.rule.arithmetic.value}-int{spec.rule.weight_bits}"
    return "w4a8" if any(point.bits <= FEW_BITS for point in weights(spec.points).values()) else "int8"


def _spec(model: Model) -> QuantSpec:
    assert model.quant is not None
    return model.quant


def _refused(given: str, expected: str) -> ModelError:
    return ModelError(given, expected, "choose static_int8, weight_int4 or half_precision, or another runtime")


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".mlpackage.zip",
    version=1,
    summary="one zip of a Core ML package, one row at a time: float32, float16, integer weights, or INT8 throughout",
    lower=lower,
    check_rule=check_rule,
    packages=("torch", "coremltools"),
    needs=(PACKAGE,),
    install="pip install 'galenic[coreml]'",
    label=labelled,
)
