"""Weights on their grids: which layers are quantized with how many bits, their scales, and the rounded weights themselves."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, fx

from galenic.compress.quantize.calibrate import Batches
from galenic.compress.quantize.grid import (
    NARROWEST,
    room_for_bias,
    round_bias,
    round_weight,
    weight_point,
    weight_scales,
)
from galenic.compress.quantize.places import grids
from galenic.compress.quantize.scales import least_error_scales
from galenic.record.errors import ModelError
from galenic.record.quant import HALF_BITS, LayerRule, QuantPoint, QuantRule, TensorRole, matches
from galenic.zoo.graph import ATEN, graph_tensor, layers, outputs_first, tensors

Rounder = Callable[[fx.GraphModule, fx.GraphModule, Sequence[QuantPoint], Batches], None]
"""Puts a model's weights on the grids of points, in place: (the float model's graph, its graph, points, calibration rows)."""

MOST_BITS = 8
"""With so many a weight's largest value decides its scale; with fewer the error of all of them does."""


GROUPS_POSITION = 6  # among a transposed convolution's input, weight, bias, stride, padding, output padding, groups


def kept_layers(graph: fx.GraphModule, rule: QuantRule) -> tuple[str, ...]:
    """The layers that stay float.

    Raises:
        ModelError: a pattern of the rule matches no layer.
    """
    names = list(layers(graph))
    for pattern in rule.patterns:
        if not any(matches(pattern, name) for name in names):
            raise _no_such_layer(pattern, names)
    return tuple(name for name in names if rule.bits_of(name)[0] >= HALF_BITS)


def with_end_bits(rule: QuantRule, graph: fx.GraphModule, bits: int) -> QuantRule:
    """The rule with so many weight bits for the first and the last layer, where it has fewer for all; its own layers count."""
    names = list(layers(graph))
    ends = dict.fromkeys((*names[:1], *names[-1:])) if rule.weight_bits < bits else ()
    more = (LayerRule(layer=name, weight_bits=bits) for name in ends)
    return rule.model_copy(update={"layers": (*more, *rule.layers)})


def weight_points(graph: fx.GraphModule, rule: QuantRule, input_scales: Mapping[str, float]) -> tuple[QuantPoint, ...]:
    """The grid of every quantized layer's weight, found from the weights alone.

    Args:
        graph: of a folded model.
        rule: bits, channels and groups.
        input_scales: of each layer's input, by the layer's name; empty where activations stay float.
    """
    found = []
    for name, node in layers(graph).items():
        bits, _ = rule.bits_of(name)
        if bits >= HALF_BITS:
            continue
        _refuse_groups(name, node)
        weight = outputs_first(node, graph_tensor(graph, node.args[1]))
        find = weight_scales if bits == MOST_BITS else least_error_scales
        scales = find(weight, bits, rule.per_channel, rule.group_size)
        if name in input_scales:
            scales = room_for_bias(scales, bias_of(graph, node), input_scales[name])
        found.append(weight_point(name, scales, bits, rule.group_size))
    return tuple(found)


def bake(graph: fx.GraphModule, points: Sequence[QuantPoint]) -> None:
    """Round every weight that has a point to its grid, in the model that the graph shares its parameters with."""
    nodes = layers(graph)
    with torch.no_grad():
        for point in points:
            if point.role is TensorRole.WEIGHT:
                weight = graph_tensor(graph, nodes[point.tensor].args[1])
                turned = outputs_first(nodes[point.tensor], weight)
                rounded = round_weight(turned, scales_of(point, len(turned)), point.bits)
                weight.copy_(outputs_first(nodes[point.tensor], rounded))


def halve(graph: fx.GraphModule, rule: QuantRule) -> None:
    """Round the weights and biases of the rule's float16 layers to float16, in place."""
    largest = torch.finfo(torch.float16).max
    with torch.no_grad():
        for name, node in layers(graph).items():
            if rule.bits_of(name)[0] == HALF_BITS:
                for tensor in (graph_tensor(graph, node.args[1]), bias_of(graph, node)):
                    if tensor is not None:
                        tensor.copy_(tensor.clamp(-largest, largest).half())


def bake_biases(graph: fx.GraphModule, points: Sequence[QuantPoint], inputs: Mapping[str, str]) -> None:
    """Round every bias to scale(input) * scale(weight), as int32 holds it, in place.

    Args:
        graph: of the model whose biases are rounded.
        points: of its activations and weights.
        inputs: each layer's name -> the tensor whose grid its input has (``inputs_of``).
    """
    own = {point.tensor: point.scale[0] for point in points if point.role is not TensorRole.WEIGHT}
    nodes = layers(graph)
    with torch.no_grad():
        for point in points:
            node = nodes.get(point.tensor)
            if point.role is TensorRole.WEIGHT and node is not None and inputs.get(point.tensor) in own:
                bias = bias_of(graph, node)
                if bias is not None and not point.group_size:
                    bias.copy_(round_bias(bias, own[inputs[point.tensor]], scales_of(point, len(bias))))


def scales_of(point: QuantPoint, channels: int) -> Float[Tensor, "channels groups"]:
    """A weight's scales as ``round_weight`` takes them: (1, 1) per tensor, else one row per output channel."""
    flat = torch.tensor(point.scale, dtype=torch.float32)
    return flat.view(1, 1) if point.axis is None else flat.view(channels, -1)


def bias_of(graph: fx.GraphModule, node: fx.Node) -> Tensor | None:
    """The bias that a layer adds, if any."""
    bias = node.args[2] if len(node.args) > 2 else None
    return graph_tensor(graph, bias) if isinstance(bias, fx.Node) else None


def inputs_of(graph: fx.GraphModule) -> dict[str, str]:
    """Each layer's name -> the tensor whose grid its input has."""
    named, where = tensors(graph), grids(graph)
    names = {node: name for name, node in named.items()}
    found = {}
    for name, node in layers(graph).items():
        source = node.args[0]
        assert isinstance(source, fx.Node)
        grid = where.get(names[source])
        if grid is not None:
            found[name] = grid
    return found


def dead_channels(graph: fx.GraphModule) -> tuple[str, ...]:
    """A sentence for each layer with output channels whose weights are all zero."""
    said = []
    for name, node in layers(graph).items():
        weight = outputs_first(node, graph_tensor(graph, node.args[1]))
        dead = int((weight.detach().abs().reshape(len(weight), -1).amax(dim=1) < NARROWEST).sum())
        if dead:
            said.append(f"{name} has {dead} dead of {len(weight)} channels: all their weights are zero")
    return tuple(said)


def _refuse_groups(name: str, node: fx.Node) -> None:
    """ModelError for a transposed convolution in groups: no runtime's file has an axis that counts its output channels."""
    if node.target is ATEN.conv_transpose2d.input and node.args[GROUPS_POSITION:][:1] not in ((), (1,)):
        raise ModelError(
            given=f"{name}, a transposed convolution in {node.args[GROUPS_POSITION]} groups, as integers",
            expected="transposed convolutions in one group",
            todo=f"keep it float: keep = ['{name}']",
        )


def _no_such_layer(pattern: str, names: Sequence[str]) -> ModelError:
    parts = (name.split(".") for name in names)
    paths = {".".join(some[:depth]) for some in parts for depth in range(1, len(some) + 1)}
    near = difflib.get_close_matches(pattern, paths, n=1)
    return ModelError(
        given=f"'{pattern}', which matches no layer",
        expected=f"a pattern for one of {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}",
        todo=f"did you mean '{near[0]}'?" if near else "correct the pattern or remove it",
    )
