"""A progress sink: who does the work says how far it is; who shows it decides how."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how far a named piece of work is. Counting starts at zero; ``done == total`` ends it."""

    def __call__(self, work: str, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` parts of ``work`` are finished; ``note`` is a few words, such as the loss."""


def silent(work: str, done: int, total: int, note: str = "") -> None:
    """Show nothing."""
