"""A quantized model as a .tflite file, on the model's own points.

    STATIC              integers from the input's grid to the logits', float32 at both ends; int4 weights where LiteRT has kernels
    DYNAMIC             integer weights, float32 activations, which LiteRT rounds in each call; int4 weights of dense layers
    WEIGHTS             integer weights, from which LiteRT makes float32; int4 weights of every layer, in groups too
    FLOAT16             float16 weights, from which LiteRT makes float32
The points in use are those of the file, so that the simulation on them computes what the file does, with two exceptions that
are half a step at most: a value in the middle of two integers may round either way; and LiteRT's fixed-point arithmetic, which
a value within a hundredth of the middle shows (in a HARD_SWISH).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from galenic.exporters.ends import Lowered, check_weights
from galenic.exporters.litert_coverage import check_weights_held, count_integer, rounded_tensors, shorten_names
from galenic.exporters.litert_file import Operation, operations, packed, unpacked
from galenic.exporters.litert_graph import to_flatbuffer, with_biases
from galenic.exporters.litert_grids import Net, find_grids
from galenic.exporters.litert_recipe import FEW_BITS, quantized
from galenic.exporters.litert_values import litert_values
from galenic.exporters.litert_weights import hold_groups, pack_few_bits
from galenic.exporters.matching import in_use, probe_rows, weights
from galenic.record.artifact import IntegerOps
from galenic.record.quant import Arithmetic, QuantSpec, TensorRole
from galenic.zoo.graph import traced, values
from galenic.zoo.model import Model


def lower_quantized(model: Model) -> Lowered:
    """A quantized model as the bytes of a .tflite file.

    Args:
        model: at rest, with a QuantSpec; its weights are on their grids.

    Raises:
        ModelError: the weights are not those of the points, a tensor has no grid, or the model cannot be converted.
    """
    assert model.quant is not None
    if model.quant.rule.arithmetic is Arithmetic.FLOAT16:
        return _lower_half(model)
    check_weights(model)
    return _lower_static(model) if model.quant.rule.arithmetic is Arithmetic.STATIC else _lower_weights(model)


def _lower_static(model: Model) -> Lowered:
    spec, graph = _spec(model), traced(model)
    data = to_flatbuffer(with_biases(model, graph))
    rows = probe_rows(model)
    ours = {name: value.numpy() for name, value in values(graph, torch.from_numpy(rows)).items()}
    parts = operations(unpacked(data))
    grids = find_grids(Net(graph, spec, ours), litert_values(data, rows), parts)
    file = unpacked(quantized(data, spec, parts, grids.grids, grids.floats))
    held = tuple(grids.points.get(one.tensor, one) if one.role is not TensorRole.WEIGHT else one for one in spec.points)
    used = in_use(spec.model_copy(update={"points": held}), rounded_tensors(file, grids))
    return _finished(file, parts, graph, used)


def _lower_weights(model: Model) -> Lowered:
    """Integer weights alone."""
    spec, graph = _spec(model), traced(model)
    data = to_flatbuffer(with_biases(model, graph))
    parts, points = operations(unpacked(data)), weights(spec.points)
    file = unpacked(quantized(data, spec, parts))
    if spec.rule.arithmetic is Arithmetic.WEIGHTS:
        pack_few_bits(file, parts, points)
        hold_groups(file, parts, graph, points)
    return _finished(file, parts, graph, in_use(spec, ()))


def _lower_half(model: Model) -> Lowered:
    data = to_flatbuffer(model)
    file = unpacked(quantized(data, _spec(model), operations(unpacked(data))))
    shorten_names(file)
    return Lowered(packed(file), "float16", _spec(model), IntegerOps(integer=0, floating=0, expected=0))


def _finished(file: Any, parts: Sequence[Operation], graph: fx.GraphModule, spec: QuantSpec) -> Lowered:
    check_weights_held(file, parts, graph, spec)
    counted = count_integer(file, graph, spec)
    shorten_names(file)
    return Lowered(packed(file), _precision(spec), spec, counted)


def _precision(spec: QuantSpec) -> str:
    if spec.rule.arithmetic is not Arithmetic.STATIC:
        return f"{spec.rule.arithmetic.value}-int{spec.rule.weight_bits}"
    return "w4a8" if any(point.bits <= FEW_BITS for point in weights(spec.points).values()) else "int8"


def _spec(model: Model) -> QuantSpec:
    assert model.quant is not None
    return model.quant
