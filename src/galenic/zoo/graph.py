"""A model as a graph of aten operations: every tensor has a name, batch norm is part of the layer before it.

    names     a convolution or dense layer bears its module's path (``features.0.conv``), any other operation its module's
              path and what it does (``features.3/add``); a name that comes again gets ``:1``. The input is ``input``.
    fold      W' = W gamma / sqrt(var + eps)      b' = (b - mean) gamma / sqrt(var + eps) + beta
The model keeps its architecture: a folded batch norm has var + eps = 1, gamma = 1 and mean = 0, so it only adds b'. The graph's
parameters are the module's own tensors, so what is trained in the graph is trained in the module.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from galenic.record.errors import ModelError
from galenic.zoo.model import Model, example_inputs

ATEN = torch.ops.aten
INPUT = "input"
NAME = "tensor"  # key in a node's meta, which copies of a graph keep
WEIGHTED = frozenset({ATEN.conv1d.default, ATEN.conv2d.default, ATEN.conv_transpose2d.input, ATEN.linear.default})
NORMS = frozenset({ATEN.batch_norm.default})
RECTIFIERS = frozenset({ATEN.relu.default, ATEN.relu6.default})
PARTING = frozenset({ATEN.chunk.default, ATEN.split.Tensor, ATEN.split_with_sizes.default, ATEN.unbind.int})
"""What makes several tensors; each of them is a ``getitem`` of it."""
NOTHING = frozenset({ATEN.dropout.default, ATEN.alias.default, ATEN.detach.default, ATEN.contiguous.default})
IN_PLACE: Mapping[Any, Any] = {
    ATEN.relu_.default: ATEN.relu.default,
    ATEN.hardtanh_.default: ATEN.hardtanh.default,
    ATEN.hardswish_.default: ATEN.hardswish.default,
    ATEN.hardsigmoid_.default: ATEN.hardsigmoid.default,
    ATEN.silu_.default: ATEN.silu.default,
    ATEN.leaky_relu_.default: ATEN.leaky_relu.default,
    ATEN.sigmoid_.default: ATEN.sigmoid.default,
    ATEN.add_.Tensor: ATEN.add.Tensor,
    ATEN.mul_.Tensor: ATEN.mul.Tensor,
    ATEN.dropout_.default: ATEN.dropout.default,
}
EPS_POSITION = 7  # among a batch norm's input, weight, bias, mean, var, training, momentum, eps, cudnn


def folded(model: Model) -> tuple[Model, fx.GraphModule]:
    """A copy of the model in which every batch norm right after a convolution or dense layer only adds a bias; its graph.

    Raises:
        ModelError: the module cannot be traced.
    """
    exported = _exported(model)
    copy = replace(model, module=deepcopy(model.module))
    modules = dict(copy.module.named_modules())
    for layer, norm in _pairs(exported):
        _fold(modules[layer], modules[norm])
    return copy, _plain(bound(exported, copy))


def traced(model: Model) -> fx.GraphModule:
    """The graph of a folded model, from its input to its logits; it may be trained, and it shares the model's parameters.

    Raises:
        ModelError: the module cannot be traced.
    """
    return _plain(bound(_exported(model), model))


def bound(graph: fx.GraphModule, model: Model) -> fx.GraphModule:
    """The same graph on the parameters of another model of the same architecture, folded like the first one."""
    copy, copied = fx.Graph(), dict[fx.Node, fx.Node]()
    copy.graph_copy(graph.graph, copied)
    copy.output(copied[answer(graph)])
    other = fx.GraphModule(graph, copy)
    for name, _ in list(other.named_parameters()):
        _set(other, name, model.module.get_parameter(name))
    own = dict(model.module.named_buffers())
    for name, _ in list(other.named_buffers()):
        if name in own:
            _set(other, name, own[name])
    return other


def answer(graph: fx.GraphModule) -> fx.Node:
    """The node that makes the logits."""
    output = next(node for node in reversed(graph.graph.nodes) if node.op == "output")
    logits: fx.Node = output.all_input_nodes[0]
    return logits


def last_layers(model: Model) -> tuple[str, ...]:
    """The paths of the layers whose outputs become the logits without another layer between, as its graph has them.

    Raises:
        ModelError: the module cannot be traced.
    """
    found, seen, open_nodes = list[str](), set[fx.Node](), [answer(traced(model))]
    while open_nodes:
        node = open_nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.target in WEIGHTED:
            found.append(_path(node))
        else:
            open_nodes += node.all_input_nodes
    return tuple(found)


def tensors(graph: fx.GraphModule) -> dict[str, fx.Node]:
    """Every named tensor's node in the order of computation: the input, then the result of each operation."""
    return {node.meta[NAME]: node for node in graph.graph.nodes if NAME in node.meta}


def layers(graph: fx.GraphModule) -> dict[str, fx.Node]:
    """The convolutions and dense layers, by name."""
    return {name: node for name, node in tensors(graph).items() if node.target in WEIGHTED}


def parameter(node: fx.Node, position: int) -> str | None:
    """The dotted name of the parameter that is this argument of a layer: 1 the weight, 2 the bias; None without."""
    value = node.args[position] if len(node.args) > position else None
    return str(value.target) if isinstance(value, fx.Node) and value.op == "get_attr" else None


def rectifies(node: fx.Node) -> bool:
    """Whether an operation is a ReLU, with an upper limit (nn.ReLU6 is a hardtanh from 0) or without."""
    return node.target in RECTIFIERS or (node.target is ATEN.hardtanh.default and node.args[1:2] == (0,))


def outputs_first(node: fx.Node, weight: Tensor) -> Tensor:
    """A layer's weight with its output channels first (and back again): a transposed convolution has them second."""
    return weight.transpose(0, 1) if node.target is ATEN.conv_transpose2d.input else weight


See = Callable[[str, Tensor], Tensor | None]
"""Told each tensor's name and value; what it gives, if anything, is computed on with instead."""


def run(graph: fx.GraphModule, inputs: Tensor, see: See) -> Tensor:
    """The logits of ``inputs``; ``see`` is shown every tensor as it is made, and none is kept longer than it is needed."""
    logits: Tensor = _Seeing(graph, see).run(inputs)
    return logits


def values(graph: fx.GraphModule, inputs: Tensor) -> dict[str, Tensor]:
    """Every tensor that ``inputs`` become, by name: for a few rows only."""
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        run(graph, inputs, lambda name, value: found.setdefault(name, value.clone()))
    return found


def unique(name: str, taken: set[str]) -> str:
    """``name``, or ``name:1``, ``name:2`` ... where it is taken; it is taken from then on."""
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}:{number}"
    taken.add(candidate)
    return candidate


class _Seeing(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule, see: See) -> None:
        super().__init__(graph)
        self._see = see

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if NAME not in n.meta:
            return value
        changed = self._see(n.meta[NAME], value)
        return value if changed is None else changed


def _plain(graph: fx.GraphModule) -> fx.GraphModule:
    """The graph with its folded batch norms as biases of the layers before them, and with names, in place."""
    for node in _calls(graph):
        layer = node.args[0] if node.target in NORMS else None
        if isinstance(layer, fx.Node) and _is_pair(layer, node) and _only_adds(graph, node):
            _absorb(graph, layer, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    _name(graph)
    return graph


def _exported(model: Model) -> fx.GraphModule:
    """The plain graph of torch.export, in which nothing is done in place and nothing is dropped out."""
    example = example_inputs(model.module, (2, *model.spec.input_shape))
    try:
        with warnings.catch_warnings():
            # torch's own copying of pytrees asks for what torch has deprecated
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            program = torch.export.export(model.module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
            exported = program.module(check_guards=False)
    except Exception as error:  # torch.export's errors share no base class but Exception
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(
            given=f"{model.spec.architecture}, which torch cannot trace ({why[:200]})",
            expected="a module that torch.export traces with any batch size",
            todo="take Python branches on values or on the batch size out of its forward",
        ) from error
    for node in exported.graph.nodes:
        node.target = IN_PLACE.get(node.target, node.target)
        if node.target is ATEN.silu.default:
            _part_silu(node)
    graph = fx.GraphModule(exported, exported.graph)
    for node in _calls(graph):
        if node.target in NOTHING:
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


def _part_silu(node: fx.Node) -> None:
    """X * sigmoid(x) in two operations, as every runtime has it."""
    with node.graph.inserting_before(node):
        gate = node.graph.call_function(ATEN.sigmoid.default, (node.args[0],))
    gate.meta = dict(node.meta)
    node.target, node.args = ATEN.mul.Tensor, (node.args[0], gate)


def _calls(graph: fx.GraphModule) -> list[fx.Node]:
    return [node for node in graph.graph.nodes if node.op == "call_function"]


def _pairs(graph: fx.GraphModule) -> Iterator[tuple[str, str]]:
    """The module paths of each layer and the batch norm right behind it."""
    for node in _calls(graph):
        layer = node.args[0] if node.target in NORMS else None
        if isinstance(layer, fx.Node) and _is_pair(layer, node):
            yield _path(layer), _path(node)


def _is_pair(layer: fx.Node, norm: fx.Node) -> bool:
    plain = layer.target in WEIGHTED - {ATEN.conv_transpose2d.input} and len(layer.users) == 1
    return plain and isinstance(norm.args[1], fx.Node) and isinstance(norm.args[2], fx.Node)


def _fold(layer: nn.Module, norm: nn.Module) -> None:
    """Move what a batch norm does into the weights before it; its own bias keeps the sum of all biases, in place."""
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, gamma, beta = layer.weight, norm.weight, norm.bias
    assert isinstance(weight, Tensor)
    assert isinstance(gamma, Tensor)
    assert isinstance(beta, Tensor)
    with torch.no_grad():
        factor = gamma.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        bias = beta.double() - norm.running_mean.double() * factor
        if isinstance(layer.bias, Tensor):
            bias = bias + layer.bias.double() * factor
            layer.bias.zero_()
        weight.mul_(factor.to(weight.dtype).view(-1, *[1] * (weight.dim() - 1)))
        gamma.fill_(1.0)
        beta.copy_(bias)
        norm.running_mean.zero_()
        norm.running_var.fill_(unit_variance(norm.eps))


def unit_variance(eps: float) -> float:
    """The float32 v nearest to 1 - eps for which v + eps is exactly 1 in float32."""
    guess = torch.tensor(1.0 - eps, dtype=torch.float32)
    one, up, down = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(0.0)
    for candidate in (guess, torch.nextafter(guess, up), torch.nextafter(guess, down)):
        if torch.equal(candidate + eps, one):
            return float(candidate)
    raise AssertionError(f"no float32 variance makes 1 with eps {eps}")


def _only_adds(graph: fx.GraphModule, norm: fx.Node) -> bool:
    gamma, _, mean, variance = (graph_tensor(graph, value) for value in norm.args[1:5])
    eps = norm.args[EPS_POSITION]
    assert isinstance(eps, float)
    return bool((gamma == 1).all() and (mean == 0).all() and (variance + eps == 1).all())


def _absorb(graph: fx.GraphModule, layer: fx.Node, norm: fx.Node) -> None:
    """The layer adds the batch norm's bias itself."""
    given = list(layer.args) + [None] * (3 - len(layer.args))
    beta = norm.args[2]
    assert isinstance(beta, fx.Node)
    given[2] = beta
    layer.prepend(beta)
    layer.args = tuple(given)
    norm.replace_all_uses_with(layer)
    graph.graph.erase_node(norm)


def graph_tensor(graph: fx.GraphModule, node: Any) -> Tensor:
    """The parameter or buffer that a node reads."""
    assert isinstance(node, fx.Node)
    found: Any = graph
    for part in str(node.target).split("."):
        found = getattr(found, part)
    assert isinstance(found, Tensor)
    return found


def _set(graph: fx.GraphModule, name: str, tensor: Tensor) -> None:
    owner, _, last = name.rpartition(".")
    setattr(graph.get_submodule(owner), last, tensor)


def _path(node: fx.Node) -> str:
    """The path of the innermost module that an operation belongs to."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _name(graph: fx.GraphModule) -> None:
    taken: set[str] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            node.meta[NAME] = INPUT
        elif node.op == "call_function" and isinstance(node.meta.get("val"), Tensor):
            weight = parameter(node, 1) if node.target in WEIGHTED else None
            own = weight.removesuffix(".weight") if weight else f"{_path(node)}/{_operation(node)}".lstrip("/")
            node.meta[NAME] = unique(own, taken)


def _operation(node: fx.Node) -> str:
    """Such as ``add``, or ``getitem`` for a part of what was split."""
    target = node.target
    return str(target).split(".")[1] if isinstance(target, torch._ops.OpOverload) else str(target.__name__)  # type: ignore[union-attr]
