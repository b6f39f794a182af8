"""Where each tensor lies in the one array that a net in C works in.

Tensors that are not needed at the same time share bytes. The largest is placed first, each at the lowest place that no tensor
of its time has (greedy by size: Pisarchyk and Lee 2020, arXiv:2001.03288); what is computed value by value may lie upon its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galenic.exporters.c_steps import Combination, Lookup, Net, Step, Tensor


@dataclass
class _Block:
    """Bytes that one or more tensors lie in, from the step that makes them to the last one that reads them."""

    size: int
    first: int
    last: int
    place: int = 0


@dataclass(frozen=True)
class Memory:
    """The place of each storage in the array, and how many bytes the array has."""

    places: dict[int, int]
    size: int


def plan(net: Net) -> Memory:
    """A place for every tensor that is computed, and for the input."""
    blocks = _blocks(net)
    different = {id(block): block for block in blocks.values()}.values()
    placed: list[_Block] = []
    for block in sorted(different, key=lambda one: (-one.size, one.first)):
        neighbours = [one for one in placed if one.first <= block.last and block.first <= one.last]
        block.place = _lowest(block.size, neighbours)
        placed.append(block)
    size = max(block.place + block.size for block in placed)
    return Memory({storage: block.place for storage, block in blocks.items()}, size)


def _blocks(net: Net) -> dict[int, _Block]:
    last = _last_uses(net)
    blocks = {net.input.storage: _Block(net.input.size, -1, last.get(net.input.storage, -1))}
    for number, step in enumerate(net.steps):
        made = step.output.storage
        if made in blocks:  # a part of it was made before
            continue
        under = next((one.storage for one in step.inputs if _lies_upon(step, one, last, number)), None)
        if under is None:
            blocks[made] = _Block(step.output.size, number, last.get(made, number))
        else:
            blocks[made] = blocks[under]
            blocks[made].last = max(blocks[made].last, last.get(made, number))
    return blocks


def _last_uses(net: Net) -> dict[int, int]:
    """The last step that reads each storage; the logits are read after all steps."""
    last = {one.storage: number for number, step in enumerate(net.steps) for one in step.inputs}
    return last | {net.output.storage: len(net.steps)}


def _lies_upon(step: Step, entry: Tensor, last: dict[int, int], number: int) -> bool:
    """Whether a step may write over an input: it reads each value just before it writes that place, and nobody reads it later."""
    if not isinstance(step, Lookup | Combination) or entry.constant is not None:
        return False
    return entry.size == step.output.size and last[entry.storage] == number


def _lowest(size: int, taken: Sequence[_Block]) -> int:
    place = 0
    for block in sorted(taken, key=lambda one: one.place):
        if place + size <= block.place:
            break
        place = max(place, block.place + block.size)
    return place
