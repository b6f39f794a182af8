"""What a phone's accelerator would take of a file, operation by operation: by published tables, never by running it."""

from __future__ import annotations

from collections.abc import Mapping

from galenic.record.base import Record

PLACE = "by published tables, not run"


class RefusedOp(Record):
    """One operation that stays on the processor.

    Attributes:
        op: what it does, such as ``HARD_SWISH``.
        tensor: the name of what it makes.
        reason: why, in words.
    """

    op: str
    tensor: str
    reason: str


class DelegateResult(Record):
    """One accelerator's share of a file.

    Attributes:
        delegate: its short name.
        title: what it is, and in which version.
        sources: where its table was read.
        supported: the operations that it takes -> how many of each.
        refused: the others, in the order of computation.
        parts: how many pieces of the graph it takes; between two of them everything goes to the processor and back.
        place: where this is known from.
    """

    delegate: str
    title: str
    sources: tuple[str, ...]
    supported: Mapping[str, int]
    refused: tuple[RefusedOp, ...]
    parts: int
    place: str = PLACE

    @property
    def taken(self) -> int:
        """How many operations it takes."""
        return sum(self.supported.values())

    @property
    def total(self) -> int:
        """How many operations the file has."""
        return self.taken + len(self.refused)
