"""Integer weights alone in a .tflite file, in the forms that ai-edge-quantizer has not: LiteRT makes floats of them by DEQUANTIZE.

    few bits   integers of up to 4 bits are INT4, also those of depthwise and transposed convolutions: DEQUANTIZE takes them,
               whatever kernel comes after it
    groups     (channels * groups, weights of one) with a scale for each row -> DEQUANTIZE -> RESHAPE (-> TRANSPOSE where the
               file has another order of axes)
LiteRT's own blockwise weights are no way to a model's own points: they are for dense layers with rounded activations, and their
scales have 8 bits. It computes RESHAPE and TRANSPOSE in every call: groups save size, and take time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import fx

from galenic.exporters.litert_builder import INT32, Builder
from galenic.exporters.litert_coverage import INT4, INT8
from galenic.exporters.litert_file import FLOAT32, GROUPED, WEIGHT_POSITION, Operation
from galenic.record.errors import ModelError
from galenic.record.quant import QuantPoint
from galenic.zoo.graph import graph_tensor, layers, outputs_first

FEW_BITS = 4
REAL, TURNED = ":dq", ":turned"  # what is behind the name of a weight that is made of groups
CHANNELS_FIRST: Mapping[str, tuple[int, ...]] = {
    "CONV_2D": (0, 3, 1, 2),
    "DEPTHWISE_CONV_2D": (3, 0, 1, 2),
    "TRANSPOSE_CONV": (0, 3, 1, 2),
    "FULLY_CONNECTED": (0, 1),
}
"""From the file's axes of a weight to (output channels, input channels, height, width)."""


def packed_pairs(integers: np.ndarray) -> np.ndarray:
    """Integers of 4 bits, two to a byte, the first in the lower half."""
    flat = integers.reshape(-1).astype(np.int8).view(np.uint8) & 0xF
    pairs = np.append(flat, np.zeros(flat.size % 2, np.uint8)).reshape(-1, 2)
    both: np.ndarray = pairs[:, 0] | pairs[:, 1] << 4
    return both


def pack_few_bits(file: Any, parts: Sequence[Operation], points: Mapping[str, QuantPoint]) -> None:
    """Store weights of up to 4 bits that are INT8 as INT4, in place.

    Args:
        file: with integer weights behind DEQUANTIZE.
        parts: the operations of the float file that it is made of.
        points: of the weights, by the layers' names.
    """
    tensors = {tensor.name.decode(): tensor for tensor in file.subgraphs[0].tensors}
    for operation in parts:
        point = points.get(operation.layer)
        if point is None or point.bits > FEW_BITS:
            continue
        weight = tensors[operation.constants[WEIGHT_POSITION].name.decode()]
        if weight.type == INT8:
            buffer = file.buffers[weight.buffer]
            buffer.data, weight.type = packed_pairs(np.asarray(buffer.data, np.uint8).view(np.int8)), INT4


def hold_groups(file: Any, parts: Sequence[Operation], graph: fx.GraphModule, points: Mapping[str, QuantPoint]) -> None:
    """Store the float weights of layers whose points have groups as integers, in place.

    Args:
        file: with those weights in float32.
        parts: the operations of the float file that it is made of.
        graph: of the model.
        points: of the weights, by the layers' names.

    Raises:
        ModelError: a weight has another order in the file than in the model, so that no row of the file is one of its groups.
    """
    tensors = {tensor.name.decode(): tensor for tensor in file.subgraphs[0].tensors}
    nodes, first = layers(graph), list[Any]()
    for operation in parts:
        point = points.get(operation.layer)
        if point is None or not point.group_size:
            continue
        weight = tensors[operation.constants[WEIGHT_POSITION].name.decode()]
        node = nodes[operation.layer]
        ours = outputs_first(node, graph_tensor(graph, node.args[1]).detach())
        first += _from_groups(Builder(file), weight, CHANNELS_FIRST[operation.kind], ours.numpy(), point)
    file.subgraphs[0].operators = [*first, *file.subgraphs[0].operators]


def _from_groups(builder: Builder, weight: Any, order: Sequence[int], ours: np.ndarray, point: QuantPoint) -> list[Any]:
    """The operations that make a weight of its groups; ``order`` is of its axes, channels first."""
    values = np.asarray(builder.file.buffers[weight.buffer].data, np.uint8).view(np.float32).reshape(weight.shape)
    turned = values.transpose(order)
    groups = ours.reshape(-1, point.group_size)
    if not np.array_equal(turned.reshape(groups.shape), groups):
        raise ModelError(
            given=f"{point.tensor}, whose weights have another order in a LiteRT file than in groups of {point.group_size}",
            expected="a layer whose weights LiteRT keeps in their order",
            todo="choose group_size = 0, or keep this layer float (keep = [...])",
        )
    name, scales = weight.name.decode(), np.array(point.scale, np.float32)
    integers = np.rint(groups / scales[:, None]).astype(np.int8)
    few = point.bits <= FEW_BITS
    stored = builder.tensor(
        f"{name}{GROUPED}", groups.shape, INT4 if few else INT8, packed_pairs(integers) if few else integers
    )
    builder.scale(stored, scales)
    real = builder.tensor(f"{name}{REAL}", groups.shape, FLOAT32)
    weight.buffer = 0
    made = [builder.operation("DEQUANTIZE", [stored], real)]
    target = builder.number(weight)
    back = [int(place) for place in np.argsort(order)]
    if back == sorted(back):
        return [*made, builder.reshape(real, target, weight.shape, name)]
    whole = builder.tensor(f"{name}{TURNED}", turned.shape, FLOAT32)
    permutation = builder.tensor(f"{name}:order", (len(back),), INT32, np.array(back, np.int32))
    return [
        *made,
        builder.reshape(real, whole, turned.shape, name),
        builder.operation("TRANSPOSE", [whole, permutation], target),
    ]
