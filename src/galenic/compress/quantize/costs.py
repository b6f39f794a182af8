"""What layers cost at some bits: bytes of their weights, and the share of the work that each of them does.

    bytes = ceil(weights * bits / 8) + 4 * scales        integers, as densely as they can be packed, and float32 scales
    bytes = weights * 2, weights * 4                     float16, float32
A runtime that keeps 4-bit integers in bytes (ONNX Runtime) has these sizes only in a compressed download.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx

from galenic.compress.quantize.grid import grouped
from galenic.record.quant import FLOAT_BITS, HALF_BITS, QuantRule
from galenic.zoo.graph import ATEN, graph_tensor, layers, outputs_first, run

SCALE_BYTES = 4
INTEGER_BITS = tuple(range(2, 9))


def weight_bytes(graph: fx.GraphModule, rule: QuantRule) -> dict[str, int]:
    """The bytes of each layer's weights at the bits that the rule gives it."""
    return {name: layer_bytes(graph, name, rule, rule.bits_of(name)[0]) for name in layers(graph)}


def layer_bytes(graph: fx.GraphModule, layer: str, rule: QuantRule, bits: int) -> int:
    """The bytes of one layer's weights at ``bits``; the rule says how many of them share a scale."""
    node = layers(graph)[layer]
    weight = outputs_first(node, graph_tensor(graph, node.args[1]))
    if bits >= HALF_BITS:
        return weight.numel() * bits // 8
    scales = math.prod(grouped(weight, rule.group_size).shape[:2]) if rule.per_channel else 1
    return math.ceil(weight.numel() * bits / 8) + SCALE_BYTES * scales


def float_bytes(graph: fx.GraphModule) -> int:
    """The bytes of all layers' weights as float32."""
    return sum(weight_bytes(graph, QuantRule(weight_bits=FLOAT_BITS)).values())


def uniform_bits(
    graph: fx.GraphModule, rule: QuantRule, size_bytes: float, choices: Sequence[int] = INTEGER_BITS
) -> int | None:
    """The most bits that every layer can have alike within a size, where the rule says nothing else of it; None: no bits fit."""
    fitting = [
        bits
        for bits in choices
        if sum(weight_bytes(graph, rule.model_copy(update={"weight_bits": bits})).values()) <= size_bytes
    ]
    return max(fitting, default=None)


def work_shares(graph: fx.GraphModule, input_shape: tuple[int, ...]) -> Mapping[str, float]:
    """Each layer's share of the multiply-accumulates of all layers."""
    macs: dict[str, int] = {}
    nodes = layers(graph)

    def see(name: str, value: Tensor) -> None:
        if name in nodes:
            macs[name] = _macs(graph, nodes[name], value)

    with torch.no_grad():
        run(graph, torch.zeros(1, *input_shape), see)
    whole = sum(macs.values())
    return {name: count / whole for name, count in macs.items()}


def _macs(graph: fx.GraphModule, node: fx.Node, made: Tensor) -> int:
    """Of one row: every value that the layer gives is a sum over as many products as one output channel has weights."""
    weight = graph_tensor(graph, node.args[1])
    if node.target is ATEN.conv_transpose2d.input:
        # (in, out / groups, ...): every value that it takes is multiplied by as many weights as one input channel has
        source = node.args[0]
        assert isinstance(source, fx.Node)
        taken = source.meta["val"]
        return math.prod(int(size) for size in taken.shape[1:]) * (weight.numel() // len(weight))
    return made.numel() * (weight.numel() // len(weight))
