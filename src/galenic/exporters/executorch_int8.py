"""A quantized model as integers for XNNPACK, on the model's own points.

    activations   int8 = uint8 - 128, and so is the zero point
    weights       int8, one scale per output channel; grids of fewer bits lie in int8
    biases        int32 at scale(input) * scale(weight), which ExecuTorch makes
A tensor is rounded where an integer operation (convolution, dense layer, sum, product) makes or takes it, and with it every
tensor of the same grid. These are the points in use: on them the simulation computes what the file does, but for means in the
middle of two integers (every fourth one over 2 x 2), of which XNNPACK takes the one that it stores as an even int8.

The logits stay float: 256 levels would make ties that an AUC sees. XNNPACK answers in float only where it finds the range of
the dense layer's input in each call, which is finer than the grid's; two more columns of the input, with weights of 0, hold
the ends of the grid, and then it finds the grid itself.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import fx

from galenic.exporters.ends import Lowered, check_weights
from galenic.exporters.executorch_count import count_integer
from galenic.exporters.executorch_program import quiet, to_program
from galenic.exporters.executorch_qdq import HIGHEST, HeldWeight, placed
from galenic.exporters.matching import activations, in_use, refuse_unmatched, weights
from galenic.record.errors import ModelError
from galenic.record.quant import FLOAT_BITS, Arithmetic, QuantPoint, QuantRule, QuantSpec
from galenic.zoo.graph import ATEN, NAME, WEIGHTED, answer, graph_tensor, layers, tensors, traced
from galenic.zoo.model import Model

COMBINING = frozenset({ATEN.add.Tensor, ATEN.mul.Tensor})

MOST_STEPS = 256.0
"""A layer's sums may not have larger steps than so many of its output's: XNNPACK does not load the file."""


def lower_int8(model: Model) -> Lowered:
    """A quantized model as the bytes of an integer program.

    Args:
        model: at rest, with a QuantSpec; its weights are on their grids.

    Raises:
        ModelError: the weights are not those of the points, a tensor has no grid, or the model cannot be lowered.
    """
    spec = model.quant
    assert spec is not None
    check_weights(model)
    with quiet():
        graph = traced(model)
        names = tuple(layers(graph))
        rounded, held = rounded_tensors(graph, spec), held_weights(graph, spec)
        refuse_large_steps(graph, rounded, held)
        integers = placed(graph, rounded, held)
    data = to_program(model, integers)
    return Lowered(data, "int8", in_use(spec, rounded), count_integer(data, names, held))


def check_rule(runtime: str, rule: QuantRule) -> None:
    """ModelError where XNNPACK cannot compute such a quantization on integers."""
    if rule.arithmetic is not Arithmetic.STATIC:
        raise ModelError(
            given=f"{rule.arithmetic.value} for {runtime}, with {rule.weight_bits}-bit weights",
            expected="static integers, with activations of known ranges: nothing else of fewer bits is lowered to XNNPACK yet",
            todo="choose static_int8 or static_w4a8; or onnxruntime, openvino or litert for float16 and integer weights alone",
        )
    weight_bits = {rule.weight_bits, *(one.weight_bits or FLOAT_BITS for one in rule.layers)} - {FLOAT_BITS}
    activation_bits = {rule.activation_bits, *(one.activation_bits or FLOAT_BITS for one in rule.layers)} - {FLOAT_BITS}
    if rule.group_size or max(weight_bits, default=0) > 8 or activation_bits != {8}:
        raise ModelError(
            given=f"{rule.weight_bits}-bit weights with {rule.activation_bits}-bit activations for {runtime}",
            expected="weights of up to 8 bits with one scale per channel or tensor, and 8-bit activations of known ranges",
            todo="choose static_int8, or another runtime",
        )


def rounded_tensors(graph: fx.GraphModule, spec: QuantSpec) -> dict[str, QuantPoint]:
    """The tensors that the file rounds, each with its grid.

    Raises:
        ModelError: what an integer layer takes or makes has no grid.
    """
    own, named = activations(spec.points), tensors(graph)
    shared = {name: spec.shares.get(name, name) for name in named}
    grids = {name: own[grid] for name, grid in shared.items() if grid in own}
    logits = float_logits(graph, spec)
    used, missing = set[str](), list[str]()
    for name, node in named.items():
        ends = [_name(value) for value in node.args[: 1 if node.target in WEIGHTED else 2]]
        ends += [] if name == logits else [_made(node, grids)]
        known = [end for end in ends if end in grids]
        if node.target in WEIGHTED and name not in spec.stays_float:
            missing += [end for end in ends if end not in grids]
            used |= {shared[end] for end in known}
        elif node.target in COMBINING and known == ends:
            used |= {shared[end] for end in ends}
    refuse_unmatched("ExecuTorch", list(dict.fromkeys(missing)))
    return {name: point for name, point in grids.items() if shared[name] in used and name != logits}


def float_logits(graph: fx.GraphModule, spec: QuantSpec) -> str | None:
    """The name of the logits where an integer dense layer makes them."""
    last = answer(graph)
    name = str(last.meta[NAME])
    return name if last.target is ATEN.linear.default and name not in spec.stays_float else None


def held_weights(graph: fx.GraphModule, spec: QuantSpec) -> dict[str, HeldWeight]:
    """The weight of every layer that does not stay float.

    Raises:
        ModelError: a weight has no point, or is not on its grid.
    """
    points, found = weights(spec.points), {}
    for name, node in layers(graph).items():
        if name in spec.stays_float:
            continue
        if name not in points:
            raise _wrong_weight(f"a quantization without a point for the weight of {name}")
        weight = graph_tensor(graph, node.args[1]).detach()
        axis = 1 if node.target is ATEN.conv_transpose2d.input else 0
        scales = torch.tensor(points[name].scale, dtype=torch.float32).expand(weight.shape[axis]).contiguous()
        steps = scales.view([-1 if position == axis else 1 for position in range(weight.dim())])
        integers = (weight / steps).round()
        if not torch.equal(integers * steps, weight) or int(integers.abs().max()) > HIGHEST:
            raise _wrong_weight(f"a weight of {name} that is not on the grid of its point")
        found[name] = HeldWeight(integers.to(torch.int8), scales, axis)
    return found


def refuse_large_steps(
    graph: fx.GraphModule, rounded: Mapping[str, QuantPoint], held: Mapping[str, HeldWeight]
) -> None:
    """ModelError where a layer's sums have much larger steps than its output, which is as good as dead then."""
    named = tensors(graph)
    for name, weight in held.items():
        taken, made = rounded[_name(named[name].args[0])], rounded.get(_made(named[name], rounded))
        step = taken.scale[0] * float(weight.scales.max())
        if made is not None and step >= MOST_STEPS * made.scale[0]:
            raise ModelError(
                given=f"{name}, whose sums have steps of {step / made.scale[0]:.0f} times those of its output",
                expected=f"less than {MOST_STEPS:.0f} times, as XNNPACK computes them",
                todo=f"keep it float: keep = ['{name}']",
            )


def _name(value: object) -> str:
    return str(value.meta.get(NAME, value.name)) if isinstance(value, fx.Node) else str(value)


def _made(node: fx.Node, grids: Container[str]) -> str:
    """The tensor that an integer operation makes: that of its ReLU where there is no grid before it."""
    users = list(node.users)
    return _name(node if _name(node) in grids or len(users) != 1 or NAME not in users[0].meta else users[0])


def _wrong_weight(given: str) -> ModelError:
    return ModelError(
        given, "a point for the weight of every layer that does not stay float", "quantize this model anew"
    )
