"""A quantized model in Core ML's own terms: its points around the operations, and integers for the weights.

    activations   x -> quantize -> dequantize -> operation: uint8, the point's scale and zero point (iOS 17)
    8 bits        constexpr_affine_dequantize: int8 and one scale per output channel or tensor (iOS 16)
    4 bits        constexpr_blockwise_shift_scale: int4 and one scale per output channel, or per block of it (iOS 18)
    float16       constexpr_cast of float16 values
Nothing is rounded here: a weight is on its point's grid, and so its integer is weight / scale.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import fx

from galenic.exporters.coreml_program import quiet
from galenic.exporters.matching import activations, weights
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ModelError
from galenic.record.quant import HALF_BITS, QuantPoint, QuantSpec
from galenic.zoo.graph import ATEN, NAME, answer, graph_tensor, layers, outputs_first, tensors

LEVELS = (0, 255, torch.uint8)
FEW_BITS = 4
WEIGHTED_OPS = frozenset({"conv", "conv_transpose", "linear"})
CHANGING_WEIGHTS = frozenset({"common::fuse_conv_batchnorm", "common::fuse_conv_scale", "common::const_deduplication"})
CHANGING_GRIDS = frozenset({"common::distributive_quantized_binary_op_scale_normalization"})
KEEP_EXACT = CHANGING_WEIGHTS | CHANGING_GRIDS
"""The passes of coremltools that would put weights or activations on other grids."""


@dataclass(frozen=True)
class Held:
    """A layer's weight as the file holds it: ``weight = scales * integers``, or float16 where there are no scales.

    Attributes:
        values: in torch's layout, float32.
        integers: int8 in the same layout; None for float16.
        scales: as many sides as the weight has; one value for each block of it.
        bits: of the point.
    """

    values: np.ndarray
    integers: np.ndarray | None = None
    scales: np.ndarray | None = None
    bits: int = HALF_BITS


def rounded_tensors(graph: fx.GraphModule, spec: QuantSpec) -> dict[str, QuantPoint]:
    """The tensors that the file rounds, each with its grid: all that have one, but for logits that a layer makes."""
    own, last = activations(spec.points), answer(graph)
    free = last.meta[NAME] if last.target is ATEN.linear.default else None
    named = ((name, spec.shares.get(name, name)) for name in tensors(graph) if name != free)
    return {name: own[grid] for name, grid in named if grid in own}


def round_activations(graph: fx.GraphModule, rounded: Mapping[str, QuantPoint]) -> None:
    """Put quantize and dequantize behind every tensor of ``rounded``, in place."""
    import torch.ao.quantization.fx._decomposed  # it defines the two operations

    operations: Any = torch.ops.quantized_decomposed
    named = tensors(graph)
    for name, point in rounded.items():
        node, grid = named[name], (point.scale[0], point.zero_point[0], *LEVELS)
        users = list(node.users)
        with graph.graph.inserting_after(node):
            integers = graph.graph.call_function(operations.quantize_per_tensor.default, (node, *grid))
        with graph.graph.inserting_after(integers):
            values = graph.graph.call_function(operations.dequantize_per_tensor.default, (integers, *grid))
        for user in users:
            user.replace_input_with(node, values)
    graph.recompile()


def held_weights(graph: fx.GraphModule, spec: QuantSpec) -> dict[str, Held]:
    """The weight of every layer that has a point, or is float16 by the rule.

    Raises:
        ModelError: a weight has neither, is not on its grid, or its groups are no blocks of the weight.
    """
    points, found = weights(spec.points), {}
    for name, node in layers(graph).items():
        weight = graph_tensor(graph, node.args[1]).detach()
        if name in points:
            found[name] = _held(name, node, weight, points[name])
        elif spec.rule.bits_of(name)[0] == HALF_BITS:
            found[name] = Held(weight.numpy())
        elif name not in spec.stays_float:
            raise _wrong_weight(f"a quantization without a point for the weight of {name}")
    return found


def _held(name: str, node: fx.Node, weight: torch.Tensor, point: QuantPoint) -> Held:
    turned = outputs_first(node, weight)
    shape = _blocks(name, tuple(turned.shape), point)
    scales = outputs_first(node, torch.tensor(point.scale, dtype=torch.float32).reshape(shape))
    steps = scales
    for side, (size, blocks) in enumerate(zip(weight.shape, scales.shape, strict=True)):
        steps = steps.repeat_interleave(size // blocks, dim=side)
    integers, limit = (weight / steps).round(), 2 ** (point.bits - 1) - 1
    if not torch.equal(integers * steps, weight) or int(integers.abs().max()) > limit:
        raise _wrong_weight(f"a weight of {name} that is not on the grid of its point")
    return Held(weight.numpy(), integers.to(torch.int8).numpy(), scales.contiguous().numpy(), point.bits)


def _blocks(name: str, shape: tuple[int, ...], point: QuantPoint) -> tuple[int, ...]:
    """How many blocks of a weight (output channels first) have a scale of their own, along each side."""
    rest = (1,) * (len(shape) - 2)
    if point.axis is None:
        return (1, 1, *rest)
    if not point.group_size:
        return (shape[0], 1, *rest)
    if point.group_size % prod(shape[2:]):
        raise ModelError(
            given=f"{name} with one scale for each {point.group_size} weights, of windows of {prod(shape[2:])}",
            expected="groups of whole windows: Core ML has blocks of input channels",
            todo=f"choose group_size {prod(shape[2:])} or a multiple of it, or keep this layer float (keep = ['{name}'])",
        )
    return (shape[0], shape[1] * prod(shape[2:]) // point.group_size, *rest)


def hold_weights(program: Any, held: Mapping[str, Held], ios: int) -> dict[str, bool]:
    """Replace the weights of a program by what they are held as, in place.

    Returns:
        Each layer of ``held`` -> whether what it takes comes from integers.

    Raises:
        ModelError: the program has not all of these weights as they are.
    """
    left, found, made = dict(held), dict[str, bool](), dict[Any, Any]()
    with quiet():
        for function in program.functions.values():
            with function:
                for operation in [one for one in function.operations if one.op_type in WEIGHTED_OPS]:
                    name = _named(left, operation.weight.val)
                    if name is not None:
                        _replace(function, operation, left.pop(name), ios, made)
                        found[name] = operation.x.op is not None and operation.x.op.op_type == "dequantize"
    if left:
        name = next(iter(left))
        raise ModelError(
            given=f"a Core ML program without the weight of {name} as it is",
            expected="every quantized layer of the model, with its own weights",
            todo=f"keep this layer float (keep = ['{name}']), or report what module it is",
        )
    return found


def count_integer(names: Collection[str], held: Mapping[str, Held], taken: Mapping[str, bool]) -> IntegerOps:
    """Layers with integer weights behind integer activations, which chips with such units compute on integers.

    Args:
        names: of all layers.
        held: the weights.
        taken: as ``hold_weights`` gives it.
    """
    wanted = [name for name, weight in held.items() if weight.integers is not None]
    floating = tuple(name for name in names if name not in wanted or not taken[name])
    return IntegerOps(
        integer=len(names) - len(floating), floating=len(floating), expected=len(wanted), left_float=floating
    )


def _named(left: Mapping[str, Held], value: np.ndarray | None) -> str | None:
    """The first layer with this weight."""
    if value is None:
        return None
    same = (name for name, one in left.items() if one.values.shape == value.shape and np.array_equal(one.values, value))
    return next(same, None)


def _replace(function: Any, operation: Any, held: Held, ios: int, made: dict[Any, Any]) -> None:
    """Put what makes a weight before the operation, and let this operation alone take it.

    Args:
        function: of the program.
        operation: a layer.
        held: its weight.
        ios: the oldest version that loads it.
        made: what weights were made of already: two layers may have one weight.
    """
    old = operation.weight
    key = old, held.bits, None if held.scales is None else held.scales.tobytes()
    if key not in made:
        made[key] = _made(held, operation, f"{operation.outputs[0].name}_weight", ios)
    function.replace_uses_of_var_after_op(
        anchor_op=made[key].op,
        end_op=operation,
        old_var=old,
        new_var=made[key],
        no_check_var_types=True,
        force_replace=True,
    )
    if not old.child_ops:
        function.remove_ops([old.op])


def _made(held: Held, before: Any, name: str, ios: int) -> Any:
    """The operation that makes a weight of its integers or halves as the file is loaded."""
    from coremltools.converters.mil.mil import Builder, types
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    traces = (
        ScopeSource.EXIR_STACK_TRACE,
        ScopeSource.EXIR_DEBUG_HANDLE,
    )  # every operation has to say where it is from
    with Builder.scope(*(ScopeInfo(source=trace, data=[None]) for trace in traces)):
        return _constexpr(Builder, types, held, before, name, ios)


def _constexpr(builder: Any, types: Any, held: Held, before: Any, name: str, ios: int) -> Any:
    if held.integers is None or held.scales is None:
        return builder.constexpr_cast(
            source_val=held.values.astype(np.float16), output_dtype="fp32", before_op=before, name=name
        )
    if ios >= 18:
        kind = types.nptype_from_builtin(types.int4 if held.bits <= FEW_BITS else types.int8)
        return builder.constexpr_blockwise_shift_scale(
            data=held.integers.astype(kind), scale=held.scales, before_op=before, name=name
        )
    (axis,) = [side for side, size in enumerate(held.scales.shape) if size > 1] or [0]
    scales = held.scales.reshape(-1)
    return builder.constexpr_affine_dequantize(
        quantized_data=held.integers,
        zero_point=np.int8(0),
        scale=scales if len(scales) > 1 else scales[0],
        axis=np.int32(axis),
        before_op=before,
        name=name,
    )


def _wrong_weight(given: str) -> ModelError:
    return ModelError(
        given, "a point for the weight of every layer that does not stay float", "quantize this model anew"
    )
