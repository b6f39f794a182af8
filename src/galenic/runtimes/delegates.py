"""Which operations of a .tflite file a phone's accelerators would refuse, and why: by published tables, nothing is run.

What makes float32 of constant float16 weights (a DEQUANTIZE) is taken wherever float16 weights are: the delegates do it as they
load, and so are the weights that come out of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from galenic.record.delegates import DelegateResult, RefusedOp
from galenic.runtimes.delegate_tables import DELEGATES, INDICES, Delegate
from galenic.runtimes.tflite_ops import Op, Tensor, operations_of


def delegate_report(path: Path) -> tuple[DelegateResult, ...]:
    """What each accelerator takes of the file at ``path``.

    Raises:
        MissingPackage: ai-edge-litert is not installed.
        ModelError: the file cannot be read, or is no whole .tflite file.
    """
    return reports(operations_of(path))


def reports(ops: Sequence[Op]) -> tuple[DelegateResult, ...]:
    """The same for operations in the order of computation."""
    return tuple(_result(delegate, _halves_as_constants(ops)) for delegate in DELEGATES)


def refusal(delegate: Delegate, op: Op) -> str:
    """Why an accelerator does not take an operation; empty where it does."""
    rule = delegate.ops.get(op.kind)
    if rule is None:
        return f"it has no {op.kind}"
    taken = [tensor for tensor in op.inputs if tensor is not None]
    computed = [tensor for tensor in (*taken, *op.outputs) if not tensor.constant]
    types = delegate.types if rule.types is None else rule.types
    weights = delegate.weights if rule.weights is None else rule.weights
    for tensor in (*taken, *op.outputs):
        if any(side < 0 for side in tensor.shape):
            return f"{_sized(tensor)}, of a size that is not known before"
        if tensor.constant:
            if tensor.type not in weights | INDICES:
                return f"{tensor.type} weights"
            if tensor.blocks:
                return f"{tensor.type} weights with several scales for a channel"
        if len(tensor.shape) > delegate.most_rank:
            return f"{_sized(tensor)}, of {len(tensor.shape)} dimensions and not {delegate.most_rank} at most"
    for tensor in computed:
        if tensor.type not in types:
            return f"{tensor.type} numbers ({tensor.name})"
        if delegate.most_wide is not None and any(side > 1 for side in tensor.shape[: -delegate.most_wide]):
            return f"{_sized(tensor)}, of which only the last {delegate.most_wide} sides may be above 1"
    return next((f"{op.kind} {reason}" for one in rule.checks if (reason := one(op))), "")


def _result(delegate: Delegate, ops: Sequence[Op]) -> DelegateResult:
    reasons = [refusal(delegate, op) for op in ops]
    return DelegateResult(
        delegate=delegate.name,
        title=delegate.title,
        sources=delegate.sources,
        supported=dict(sorted(Counter(op.kind for op, why in zip(ops, reasons, strict=True) if not why).items())),
        refused=tuple(
            RefusedOp(op=op.kind, tensor=op.outputs[0].name if op.outputs else "", reason=why)
            for op, why in zip(ops, reasons, strict=True)
            if why
        ),
        parts=sum(1 for refused, _ in groupby(reasons, bool) if not refused),
    )


def _halves_as_constants(ops: Sequence[Op]) -> list[Op]:
    """The operations without those that make float32 of constant float16, whose outputs are float16 constants instead."""
    halves: dict[str, Tensor] = {}
    left = []
    for op in ops:
        source = op.inputs[0] if op.inputs else None
        if op.kind == "DEQUANTIZE" and source is not None and source.constant and source.type == "FLOAT16":
            halves[op.outputs[0].name] = replace(source, name=op.outputs[0].name)
        else:
            inputs = tuple(halves.get(one.name, one) if one is not None else None for one in op.inputs)
            left.append(replace(op, inputs=inputs))
    return left


def _sized(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.shape}"
