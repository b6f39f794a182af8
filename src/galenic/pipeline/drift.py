"""Layer by layer: which of a file's integers are not those of its simulation.

A tensor of the file is ours where it has the same number of values and the same scale, and its integers are the nearest ones.
Differences add up on the way through a net; where they begin is what a file does that its simulation does not.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from galenic.compress.quantize.grid import Grid, round_activation
from galenic.compress.quantize.simulate import placed
from galenic.exporters.insides import INSIDES, Inside
from galenic.exporters.matching import activations
from galenic.record.artifact import Artifact
from galenic.record.quant import Arithmetic
from galenic.record.quantization import TensorDrift
from galenic.zoo.graph import run, traced
from galenic.zoo.model import Model


def drift(model: Model, artifact: Artifact, rows: np.ndarray) -> tuple[TensorDrift, ...]:
    """Each integer activation of a file that its runtime shows, in the order of computation; () where it shows none.

    Args:
        model: that the file is of.
        artifact: the file.
        rows: (n, *input_shape) float32.
    """
    spec = artifact.quant
    if spec is None or spec.rule.arithmetic is not Arithmetic.STATIC or artifact.runtime not in INSIDES:
        return ()
    by_grid: dict[tuple[float, int], list[Inside]] = {}
    for one in INSIDES[artifact.runtime](artifact, rows):
        by_grid.setdefault((float(np.float32(one.scale)), one.integers.size), []).append(one)
    graph = traced(model)
    own = activations(spec.points)
    found = []
    for name, integers in _integers(graph, artifact, torch.from_numpy(rows)).items():
        candidates = by_grid.get((float(np.float32(own[name].scale[0])), integers.size), []) if name in own else []
        apart = [np.abs(one.integers.astype(np.int16).reshape(integers.shape) - integers) for one in candidates]
        if apart:
            nearest = min(apart, key=lambda steps: float(steps.mean()))
            share, most = float((nearest > 0).mean()), int(nearest.max())
            found.append(TensorDrift(tensor=name, share=share, most_steps=most, n=integers.size))
    return tuple(found)


def _integers(graph: fx.GraphModule, artifact: Artifact, inputs: torch.Tensor) -> dict[str, np.ndarray]:
    """The simulation's integers of every activation on a grid: (rows, channels, positions)."""
    assert artifact.quant is not None
    known, found = placed(graph, artifact.quant.points), dict[str, np.ndarray]()

    def see(name: str, value: torch.Tensor) -> torch.Tensor | None:
        if name not in known:
            return None
        grid, bits = known[name]
        rounded = round_activation(value, grid, bits)
        found[name] = _held(rounded, grid)
        return rounded

    with torch.no_grad():
        run(graph, inputs, see)
    return found


def _held(rounded: torch.Tensor, grid: Grid) -> np.ndarray:
    integers = (rounded / grid.scale).round().numpy().astype(np.int16) + np.int16(grid.zero_point)
    return integers.reshape(len(integers), integers.shape[1] if integers.ndim > 2 else 1, -1)
