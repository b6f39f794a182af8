"""A float graph as one of quantize and dequantize operations, which XNNPACK computes on integers where it can.

    x -> quantize -> dequantize (one for each user) -> operation -> quantize -> dequantize -> ...
    int8 weight -> dequantize per channel -> convolution or dense layer
XNNPACK takes dequantize, operation and quantize for one integer operation; where it has none, they stay three, on the same
values.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from galenic.record.quant import QuantPoint
from galenic.zoo.graph import ATEN, answer, graph_tensor, tensors

ONE_GRID = frozenset(
    {ATEN.cat.default, ATEN.relu.default, ATEN.relu6.default, ATEN.hardtanh.default, ATEN.clamp.default}
)
"""XNNPACK computes these on integers as if what they take and what they make had the same grid."""

LOWEST, HIGHEST = -128, 127
NARROW = (-127, 127, torch.int8)
NO_SCALE = 2.0**-40
"""Below this XNNPACK would take a scale for none."""


@dataclass(frozen=True)
class HeldWeight:
    """A layer's weight as integers: ``weight = scales * integers`` along ``axis``, its output channels."""

    integers: Tensor
    scales: Tensor
    axis: int


def placed(graph: fx.GraphModule, rounded: Mapping[str, QuantPoint], held: Mapping[str, HeldWeight]) -> fx.GraphModule:
    """A graph with quantize and dequantize operations and integer weights; the one that is given is used up.

    Args:
        graph: of a folded model (``galenic.zoo.graph.traced``).
        rounded: the grid of each tensor that is rounded, by name. If the logits are not among them and a layer of ``held``
            makes them, that layer's answer is float.
        held: the integer weights, by layer.
    """
    named, last = tensors(graph), answer(graph)
    for name, point in rounded.items():
        _round(graph.graph, named[name], point)
    for name, point in rounded.items():
        if named[name].target in ONE_GRID:
            _take_one_grid(graph.graph, named[name], point)
    for name, weight in held.items():
        node = named[name]
        columns = _find_range(graph.graph, node) if node is last and name not in rounded else 0
        _hold(graph, node, weight, columns)
    graph.graph.eliminate_dead_code()
    return fx.GraphModule(graph, graph.graph)  # which takes along only what the operations use


def _round(graph: fx.Graph, node: fx.Node, point: QuantPoint) -> None:
    """Every user of a tensor gets it rounded, from an operation of its own: two users of one may not both be fused."""
    users = list(node.users)
    with graph.inserting_after(node):
        integers = _quantized(graph, node, _grid(point))
    for user in users:
        with graph.inserting_before(user):
            user.replace_input_with(node, _dequantized(graph, integers, _grid(point)))


def _take_one_grid(graph: fx.Graph, node: fx.Node, point: QuantPoint) -> None:
    """Round what an operation takes once more, to the grid of what it makes: which changes nothing of what it makes."""
    inputs = node.all_input_nodes
    if all(_is_dequantized(value) for value in inputs):
        for value in inputs:
            if value.args[1:] != _grid(point):
                with graph.inserting_before(node):
                    again = _dequantized(graph, _quantized(graph, value, _grid(point)), _grid(point))
                node.replace_input_with(value, again)


def _find_range(graph: fx.Graph, dense: fx.Node) -> int:
    """Let XNNPACK find the range of a dense layer's rounded input in each call, and see to it that it is the grid's.

    Two columns hold the ends of the grid; 0 is in every range, so an end at 0 needs none. Returns how many there are.
    """
    operations = _operations()
    value = dense.args[0]
    assert isinstance(value, fx.Node)
    scale, zero_point = value.args[1:3]
    assert isinstance(scale, float)
    assert isinstance(zero_point, int)
    ends = [scale * (level - zero_point) for level in (LOWEST, HIGHEST) if level != zero_point]
    with graph.inserting_before(dense):
        for end in ends:
            value = graph.call_function(ATEN.constant_pad_nd.default, (value, [0, 1], end))
        found = graph.call_function(operations.choose_qparams.tensor, (value, LOWEST, HIGHEST, NO_SCALE, torch.int8))
        parts = [graph.call_function(operator.getitem, (found, part)) for part in range(2)]
        grid: tuple[Any, ...] = (*parts, LOWEST, HIGHEST, torch.int8)
        integers = graph.call_function(operations.quantize_per_tensor.tensor, (value, *grid))
        dense.update_arg(0, graph.call_function(operations.dequantize_per_tensor.tensor, (integers, *grid)))
    return len(ends)


def _hold(graph: fx.GraphModule, layer: fx.Node, weight: HeldWeight, columns: int) -> None:
    """Give a layer its integer weight, with so many columns of zeros more, and a bias of its own.

    A bias of two layers ExecuTorch would make an integer once, with the scales of the first.
    """
    integers = F.pad(weight.integers, (0, columns)) if columns else weight.integers.contiguous()
    zero_points = torch.zeros(len(weight.scales), dtype=torch.int64)
    with graph.graph.inserting_before(layer):
        parts = [
            _constant(graph, f"{layer.name}_{part}", tensor)
            for part, tensor in (("integers", integers), ("scales", weight.scales), ("zeros", zero_points))
        ]
        values = graph.graph.call_function(_operations().dequantize_per_channel.default, (*parts, weight.axis, *NARROW))
        if len(layer.args) > 2 and layer.args[2] is not None:
            bias = graph_tensor(graph, layer.args[2]).detach().clone()
            layer.update_arg(2, _constant(graph, f"{layer.name}_bias", bias))
    layer.update_arg(1, values)


def _constant(graph: fx.GraphModule, name: str, tensor: Tensor) -> fx.Node:
    graph.register_buffer(name, tensor)
    return graph.graph.get_attr(name)


def _grid(point: QuantPoint) -> tuple[Any, ...]:
    return point.scale[0], point.zero_point[0] + LOWEST, LOWEST, HIGHEST, torch.int8


def _quantized(graph: fx.Graph, node: fx.Node, grid: Sequence[Any]) -> fx.Node:
    return graph.call_function(_operations().quantize_per_tensor.default, (node, *grid))


def _dequantized(graph: fx.Graph, node: fx.Node, grid: Sequence[Any]) -> fx.Node:
    return graph.call_function(_operations().dequantize_per_tensor.default, (node, *grid))


def _is_dequantized(node: fx.Node) -> bool:
    return node.target is _operations().dequantize_per_tensor.default


def _operations() -> Any:
    """The quantize and dequantize operations of torch, which an import puts there."""
    import torch.ao.quantization.fx._decomposed

    return torch.ops.quantized_decomposed
