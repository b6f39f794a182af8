"""A folded model's graph with rounding in it, to be trained: learned ranges on its activations, learned scales on its weights.

    input -> round -> layer(round(weight)) -> fused ReLU -> round -> ...           at the same places as the simulation
The graph trains the model's own tensors. Its modules keep their paths: where a module of the model returns one tensor, the
graph calls a module of the same path on that tensor (after rounding), so that a loss over layers finds it by name. A layer
before a batch norm has no output of its own any more, it is the batch norm's; what evaluation leaves out (dropout) has no path.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, fx, nn

from galenic.compress.quantize.fake import LearnedRange, LearnedWeightGrid, round_with_ends
from galenic.compress.quantize.grid import Grid, activation_point, weight_point
from galenic.compress.quantize.places import gate_grid, grids, logits
from galenic.compress.quantize.simulate import placed
from galenic.compress.quantize.weights import bias_of, inputs_of, scales_of
from galenic.record.quant import QuantPoint, TensorRole
from galenic.zoo.graph import ATEN, WEIGHTED, answer, graph_tensor, layers, outputs_first, parameter, tensors

RANGES, WEIGHTS = "galenic_ranges", "galenic_weights"
AVERAGING = frozenset(
    {
        ATEN.avg_pool1d.default,
        ATEN.avg_pool2d.default,
        ATEN.adaptive_avg_pool1d.default,
        ATEN.adaptive_avg_pool2d.default,
        ATEN.mean.dim,
    }
)
"""What has its input's grid and does not stay on it; views and maxima of rounded values are rounded."""


class Place(nn.Module):
    """A module of the model in its graph: it holds the module's tensors, and passes on what the module returned."""

    def forward(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value


def aware(graph: fx.GraphModule, points: Sequence[QuantPoint]) -> fx.GraphModule:
    """A graph on the same parameters that rounds in its forward pass, starting from ``points``; its logits stay float."""
    where = {name: grid for name, grid in grids(graph).items() if name in placed(graph, points, (logits(graph),))}
    copy = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    copy.graph_copy(graph.graph, copied)
    copy.output(copied[answer(graph)])
    outputs = _outputs(graph)
    root = _tree(graph, outputs)
    root.add_module(RANGES, nn.ModuleDict(_ranges(graph, points, {grid for grid in where.values() if grid})))
    root.add_module(WEIGHTS, nn.ModuleDict(_weight_grids(graph, points)))
    ends = _range_nodes(copy, root)
    for name, node in layers(graph).items():
        if key(name) in root.get_submodule(WEIGHTS)._modules:
            _round_layer(copy, copied[node], name, ends.get(inputs_of(graph).get(name, "")))
    bits = {point.tensor: point.bits for point in points if point.role is not TensorRole.WEIGHT}
    for name, node in tensors(graph).items():
        grid, found = where.get(name), copied[node]
        if grid is not None and (grid == name or node.target in AVERAGING):
            found = _after(copy, found, "call_function", round_with_ends, (ends[grid], bits[grid]))
        for path in outputs.get(node, ()):
            found = _after(copy, found, "call_module", path, ())
    return fx.GraphModule(root, copy)


def learned_points(
    trained: fx.GraphModule, graph: fx.GraphModule, points: Sequence[QuantPoint]
) -> tuple[QuantPoint, ...]:
    """The points as they were learned, in their order; one that was not learned (of the logits) as it was.

    Args:
        trained: what ``aware`` made, in evaluation mode.
        graph: of the same model, with the trained weights.
        points: that it started from.
    """
    ranges, weights = trained.get_submodule(RANGES), trained.get_submodule(WEIGHTS)
    nodes, inputs = layers(graph), inputs_of(graph)
    found, scales = [], dict[str, float]()
    for point in points:
        if point.role is not TensorRole.WEIGHT and key(point.tensor) in ranges._modules:
            learned = ranges.get_submodule(key(point.tensor))
            assert isinstance(learned, LearnedRange)
            found.append(activation_point(point.tensor, learned.grid, point.bits, point.role))
            scales[point.tensor] = learned.grid.scale
        elif point.role is TensorRole.WEIGHT:
            grid, node = weights.get_submodule(key(point.tensor)), nodes[point.tensor]
            assert isinstance(grid, LearnedWeightGrid)
            weight = graph_tensor(graph, node.args[1])
            with torch.no_grad():
                own = grid.scales(weight, bias_of(graph, node), scales.get(inputs.get(point.tensor, "")))
            found.append(weight_point(point.tensor, own, point.bits, 0))
        else:
            found.append(point)
    return tuple(found)


def key(name: str) -> str:
    """A tensor's name as that of a module, which has no dots."""
    return name.replace(".", "|")


def _tree(graph: fx.GraphModule, outputs: dict[fx.Node, list[str]]) -> nn.Module:
    """Modules with the model's paths, and the graph's tensors in them."""
    root = nn.Module()
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            module, tensor = _at(root, owner), graph_tensor(graph, node)
            if isinstance(tensor, nn.Parameter):
                module.register_parameter(name, tensor)
            else:
                module.register_buffer(name, tensor)
        for path in outputs.get(node, ()):
            _at(root, path)
    return root


def _at(root: nn.Module, path: str) -> nn.Module:
    module = root
    for part in path.split(".") if path else ():
        if part not in module._modules:
            module.add_module(part, Place())
        module = module.get_submodule(part)
    return module


def _ranges(graph: fx.GraphModule, points: Sequence[QuantPoint], names: set[str]) -> dict[str, nn.Module]:
    nodes = tensors(graph)

    def given(point: QuantPoint) -> bool:
        return gate_grid(nodes[point.tensor], point.bits) is not None

    return {
        key(point.tensor): LearnedRange(Grid(point.scale[0], point.zero_point[0]), point.bits, given(point))
        for point in points
        if point.role is not TensorRole.WEIGHT and point.tensor in names
    }


def _weight_grids(graph: fx.GraphModule, points: Sequence[QuantPoint]) -> dict[str, nn.Module]:
    nodes, inputs = layers(graph), inputs_of(graph)
    bits = {point.tensor: point.bits for point in points if point.role is not TensorRole.WEIGHT}
    made: dict[str, nn.Module] = {}
    for point in points:
        if point.role is TensorRole.WEIGHT:
            node = nodes[point.tensor]
            channels = len(outputs_first(node, graph_tensor(graph, node.args[1])))
            scales = scales_of(point, channels).flatten().expand(channels).clone()
            transposed = node.target is ATEN.conv_transpose2d.input
            made[key(point.tensor)] = LearnedWeightGrid(
                scales, point.bits, transposed, bits.get(inputs.get(point.tensor, ""), 8)
            )
    return made


def _range_nodes(graph: fx.Graph, root: nn.Module) -> dict[str, fx.Node]:
    """A node for each range's two ends, before everything else, by the tensor's name."""
    first = next(iter(graph.nodes))
    with graph.inserting_before(first):
        return {
            name.replace("|", "."): graph.call_module(f"{RANGES}.{name}", ())
            for name in root.get_submodule(RANGES)._modules
        }


def _round_layer(graph: fx.Graph, layer: fx.Node, name: str, ends: fx.Node | None) -> None:
    """The layer computes with its weight and bias on their grids."""
    given = [*layer.args, *[None] * (3 - len(layer.args))]
    with graph.inserting_before(layer):
        both = graph.call_module(f"{WEIGHTS}.{key(name)}", (given[1], given[2], ends))
        given[1] = graph.call_function(operator.getitem, (both, 0))
        if given[2] is not None:
            given[2] = graph.call_function(operator.getitem, (both, 1))
    layer.args = tuple(given)


def _after(graph: fx.Graph, node: fx.Node, kind: str, target: object, more: tuple[object, ...]) -> fx.Node:
    """A node behind ``node`` that takes it, and that all its users take instead."""
    users = list(node.users)
    with graph.inserting_after(node):
        made: fx.Node = graph.create_node(kind, target, (node, *more))  # type: ignore[arg-type]
    for user in users:
        user.replace_input_with(node, made)
    return made


def _outputs(graph: fx.GraphModule) -> dict[fx.Node, list[str]]:
    """Each node -> the paths of the modules whose output it is, the innermost first.

    A module's output is the one tensor of its last call that something outside of it uses. Where a batch norm was folded
    into that tensor's layer, the module has to hold the batch norm too.
    """
    calls: dict[str, tuple[str, list[fx.Node]]] = {}
    for node in tensors(graph).values():
        for call, path in _stack(node):
            before = calls.get(path)
            calls[path] = (call, [*before[1], node] if before is not None and before[0] == call else [node])
    found: dict[fx.Node, list[str]] = {}
    for path, (call, nodes) in calls.items():
        used = [node for node in nodes if any(call not in dict(_stack(user)) for user in node.users)]
        if len(used) == 1 and all(_is_in(owner, path) for owner in _owners(used[0])):
            found.setdefault(used[0], []).append(path)
    for node in layers(graph).values():
        weight_owner, *bias_owner = _owners(node)
        if bias_owner and bias_owner != [weight_owner]:  # a batch norm was folded into the layer
            found.setdefault(node, []).extend(bias_owner)
    return {node: sorted(paths, key=lambda path: -path.count(".")) for node, paths in found.items()}


def _stack(node: fx.Node) -> Iterator[tuple[str, str]]:
    """The calls that a node belongs to, with the paths of their modules; without the whole model."""
    for call, (path, _) in (node.meta.get("nn_module_stack") or {}).items():
        if path:
            yield call, path


def _owners(node: fx.Node) -> list[str]:
    """The paths of the modules that a layer's weight and bias belong to."""
    names = [parameter(node, position) for position in (1, 2)] if node.target in WEIGHTED else []
    return [name.rpartition(".")[0] for name in names if name is not None]


def _is_in(path: str, around: str) -> bool:
    return path == around or path.startswith(f"{around}.")
