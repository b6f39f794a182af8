"""A float .tflite file as an integer one, by ai-edge-quantizer on our numbers: a range for every tensor, bits for every layer.

activations    int8 with integer - 128 of ours; the range [(0 - zero_point) scale, (255 - zero_point) scale] gives our scale
weights        int8, or int4 where the grid has up to 4 bits and the quantizer and LiteRT have a form of it: dense layers and
               convolutions, but for depthwise and transposed ones; the range [-q scale, q scale] gives our scale again, one per
               output channel. Weights in groups are left float: ``litert_weights`` stores them
biases         int32 at scale(input) scale(weight), as our points have them
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from galenic.exporters.litert_file import WEIGHT_POSITION, Operation, unpacked
from galenic.exporters.litert_graph import silence
from galenic.exporters.matching import weights
from galenic.record.quant import HALF_BITS, Arithmetic, QuantPoint, QuantSpec

LEVELS = 255
ACTIVATION_BITS, FEW_BITS, MANY_BITS = 8, 4, 8
INT4_KINDS = frozenset({"CONV_2D", "FULLY_CONNECTED"})
QUANTIZER_KINDS = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}  # the others have the schema's name
EVERYWHERE = ".*"
FLOAT = "no_quantize"
HALF = "float_casting"


def quantized(
    data: bytes,
    spec: QuantSpec,
    file: Sequence[Operation],
    grids: Mapping[str, QuantPoint] | None = None,
    floats: Sequence[str] = (),
) -> bytes:
    """The bytes of the quantized file, as ai-edge-quantizer writes them.

    Args:
        data: of the float file.
        spec: the rule, and the weights' points.
        file: the operations of the float file.
        grids: for STATIC, of each activation that has one.
        floats: for STATIC, the operations that stay float, by their outputs.
    """
    with silence():
        from ai_edge_quantizer.quantizer import Quantizer

        quantizer = Quantizer(bytearray(data))
        if spec.rule.arithmetic is Arithmetic.STATIC:
            _make_static(quantizer, floats)
        _arrange_layers(quantizer, spec, file)
        if not quantizer.get_quantization_recipe():
            return data  # every weight is in groups
        ranges = _weight_ranges(spec, file) | _activation_ranges(grids or {}, data)
        made = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)


def stored_bits(operation: Operation, point: QuantPoint) -> int:
    """Of a layer's weights in the file."""
    return FEW_BITS if point.bits <= FEW_BITS and operation.kind in INT4_KINDS else MANY_BITS


def channel_axis(operation: Operation) -> int:
    """The axis of a layer's weights in the file that counts its output channels."""
    return 3 if operation.kind == "DEPTHWISE_CONV_2D" else 0


def _make_static(quantizer: Any, floats: Sequence[str]) -> None:
    from ai_edge_quantizer.qtyping import TFLOperationName as Name

    quantizer.add_static_config(EVERYWHERE, Name.ALL_SUPPORTED, ACTIVATION_BITS, MANY_BITS)
    for end in (Name.INPUT, Name.OUTPUT):
        quantizer.update_quantization_recipe(EVERYWHERE, end, None, FLOAT)
    for output in floats:
        quantizer.update_quantization_recipe(_scope(output), Name.ALL_SUPPORTED, None, FLOAT)


def _arrange_layers(quantizer: Any, spec: QuantSpec, file: Sequence[Operation]) -> None:
    from ai_edge_quantizer.qtyping import TFLOperationName

    points = weights(spec.points)
    for operation in file:
        if not operation.layer:
            continue
        scope = _scope(operation.output)
        kind = TFLOperationName(QUANTIZER_KINDS.get(operation.kind, operation.kind))
        point = points.get(operation.layer)
        if point is not None and point.group_size:
            continue
        if point is None:
            if spec.rule.bits_of(operation.layer)[0] == HALF_BITS:
                quantizer.add_weight_only_config(scope, kind, HALF_BITS, algorithm_key=HALF)
        elif spec.rule.arithmetic is Arithmetic.STATIC:
            quantizer.add_static_config(scope, kind, ACTIVATION_BITS, stored_bits(operation, point))
        elif spec.rule.arithmetic is Arithmetic.DYNAMIC:
            quantizer.add_dynamic_config(scope, kind, stored_bits(operation, point))
        else:
            quantizer.add_weight_only_config(scope, kind, stored_bits(operation, point))


def _scope(output: str) -> str:
    """What ai-edge-quantizer finds an operation by: it puts a semicolon behind the name."""
    return f"^{re.escape(output)};"


def _weight_ranges(spec: QuantSpec, file: Sequence[Operation]) -> dict[str, dict[str, np.ndarray]]:
    points, found = weights(spec.points), {}
    for operation in file:
        if operation.layer in points and not points[operation.layer].group_size:
            point, weight = points[operation.layer], operation.constants[WEIGHT_POSITION]
            axis = channel_axis(operation)
            shape = [size if place == axis else 1 for place, size in enumerate(weight.shape)]
            most = 2 ** (stored_bits(operation, point) - 1) - 1
            largest = np.broadcast_to(np.array(point.scale, np.float64) * most, shape[axis]).reshape(shape)
            found[weight.name.decode()] = {"min": -largest, "max": largest}
    return found


def _activation_ranges(grids: Mapping[str, QuantPoint], data: bytes) -> dict[str, dict[str, np.ndarray]]:
    found = {}
    for tensor in unpacked(data).subgraphs[0].tensors:
        point = grids.get(tensor.name.decode())
        if point is not None:
            shape, (scale,), (zero_point,) = (1,) * len(tensor.shape), point.scale, point.zero_point
            low, high = -zero_point * np.float64(scale), (LEVELS - zero_point) * np.float64(scale)
            found[tensor.name.decode()] = {"min": np.full(shape, low), "max": np.full(shape, high)}
    return found
