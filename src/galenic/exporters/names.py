"""Names of nodes and tensors in a file."""

from __future__ import annotations


def unique(name: str, taken: set[str]) -> str:
    """``name``, or ``name:1``, ``name:2`` ... where it is taken; it is taken from then on."""
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}:{number}"
    taken.add(candidate)
    return candidate
