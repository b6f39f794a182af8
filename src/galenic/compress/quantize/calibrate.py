"""Calibration: what every activation of a graph is over the calibration rows, batch by batch.

The first pass finds each tensor's smallest and largest value, the second its histogram between them. No activation is kept: the
memory is one batch's forward pass and 2,048 counts a tensor, and the time grows linearly with the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, fx

from galenic.compress.quantize.observers import BINS, MOMENTUM, Seen
from galenic.compress.quantize.places import grids
from galenic.record.errors import DataError, ModelError
from galenic.zoo.graph import run

BATCH_ROWS = 32

Batches = Callable[[], Iterable[Tensor]]
"""Gives the same batches (batch, *input_shape) from the start each time."""


@dataclass
class Extremes:
    """Of one tensor; the moving ones as the observer of that name takes them."""

    low: float = np.inf
    high: float = -np.inf
    moving: tuple[float, float] | None = None

    def see(self, low: float, high: float) -> None:
        """One batch's smallest and largest value."""
        # numpy's minimum, unlike Python's min, keeps a NaN
        self.low, self.high = float(np.minimum(self.low, low)), float(np.maximum(self.high, high))
        before = (low, high) if self.moving is None else self.moving
        self.moving = (before[0] + MOMENTUM * (low - before[0]), before[1] + MOMENTUM * (high - before[1]))


@dataclass
class Watched:
    """The tensors that have a grid of their own, and what is known of them."""

    extremes: dict[str, Extremes] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)


def calibrate(graph: fx.GraphModule, batches: Batches) -> dict[str, Seen]:
    """What was seen of each tensor with a grid of its own, by name.

    Raises:
        DataError: there are no rows, or they are all zero or not finite.
        ModelError: a layer gives a NaN or an infinity.
    """
    own = {name for name, grid in grids(graph).items() if grid == name}
    watched = Watched({name: Extremes() for name in own}, {})

    def extremes(name: str, value: Tensor) -> None:
        if name in own:
            low, high = torch.aminmax(value)
            watched.extremes[name].see(float(low), float(high))

    def histograms(name: str, value: Tensor) -> None:
        if name in own:
            seen = watched.extremes[name]
            counted = torch.histc(value.float(), BINS, seen.low, seen.high) if seen.high > seen.low else _one_bin(value)
            watched.counts[name] = watched.counts.get(name, torch.zeros(BINS, dtype=torch.float64)) + counted

    with torch.no_grad():
        for batch in checked(batches):
            run(graph, batch, extremes)
        _refuse_infinite(watched.extremes)
        for batch in batches():
            run(graph, batch, histograms)
    return {name: _seen(watched, name) for name in own}


def in_batches(rows: np.ndarray) -> Batches:
    """Batches of preprocessed rows (n, *input_shape)."""
    return lambda: (torch.from_numpy(rows[start : start + BATCH_ROWS]) for start in range(0, len(rows), BATCH_ROWS))


def _seen(watched: Watched, name: str) -> Seen:
    extremes = watched.extremes[name]
    moving = extremes.moving or (extremes.low, extremes.high)
    return Seen(extremes.low, extremes.high, *moving, watched.counts[name].numpy().astype(np.int64))


def _one_bin(value: Tensor) -> Tensor:
    counts = torch.zeros(BINS)
    counts[0] = value.numel()
    return counts


def checked(batches: Batches) -> Iterator[Tensor]:
    """The batches; DataError where there are no rows, or they are all zero or not finite."""
    rows, largest = 0, 0.0
    for batch in batches():
        rows += len(batch)
        highest = float(batch.abs().max()) if batch.is_floating_point() and batch.numel() else 1.0
        if not np.isfinite(highest):
            raise _refused("calibration rows with a NaN or an infinity", "finite numbers")
        largest = max(largest, highest)
        yield batch
    if rows == 0:
        raise _refused("no calibration rows", "some hundred rows that are like those in use")
    if largest == 0.0:
        raise _refused(f"{rows} calibration rows that are all zero", "rows that are like those in use")


def _refused(given: str, expected: str) -> DataError:
    return DataError(given, expected, "give the task's calibration split, preprocessed as in use")


def _refuse_infinite(found: dict[str, Extremes]) -> None:
    for name, one in found.items():
        if not np.isfinite([one.low, one.high]).all():
            raise ModelError(
                given=f"the layer {name} gives values from {one.low} to {one.high} on the calibration rows",
                expected="finite values",
                todo="train the model again with a lower learning rate: an integer has no NaN",
            )
