"""What a runtime's profiler told, as the time of every operation."""

from __future__ import annotations

from collections.abc import Mapping

from galenic.record.bench import OpTime, OpTimes

WARMUP = 5
"""Rows before those that are counted."""

Operation = tuple[str, str]
"""Its name and its kind."""


def op_table(
    spent_ms: Mapping[Operation, float], *, runs: int, statistic: str, whole_ms: float | None = None
) -> OpTimes:
    """The longest first, with their shares of all of them together.

    Args:
        spent_ms: of one row.
        runs: rows that these are a ``statistic`` of.
        statistic: its name, such as ``mean``.
        whole_ms: of one inference, where the profiler told it; else the sum of the operations.
    """
    total = sum(spent_ms.values())
    ops = (
        OpTime(name=name, op=op, milliseconds=spent, share=spent / total if total else 0.0)
        for (name, op), spent in spent_ms.items()
    )
    return OpTimes(
        ops=tuple(sorted(ops, key=lambda one: (-one.milliseconds, one.name))),
        whole_ms=total if whole_ms is None else whole_ms,
        runs=runs,
        statistic=statistic,
    )
