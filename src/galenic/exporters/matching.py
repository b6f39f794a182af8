"""Which tensor of a runtime's graph is which of ours: by value, since names, layouts and orders differ.

Both graphs answer the same random rows. Two tensors are the same where their sorted values agree; a tensor that is the same
number everywhere is none. Tensors that share a grid (a pool and its input) bear the name of the one whose grid it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch

from galenic.record.errors import ModelError
from galenic.record.quant import QuantPoint, QuantSpec, TensorRole
from galenic.zoo.graph import traced, values
from galenic.zoo.model import Model

PROBES = 3
TOLERANCE = 1e-3  # of the largest value


def probe_rows(model: Model) -> np.ndarray:
    """(PROBES, *input_shape) float32, the same every time; one after the other where a graph takes one row."""
    return np.random.default_rng(0).normal(size=(PROBES, *model.spec.input_shape)).astype(np.float32)


def our_values(model: Model) -> dict[str, np.ndarray]:
    """Each tensor of a folded model's graph on the probe rows, by name."""
    found = values(traced(model), torch.from_numpy(probe_rows(model)))
    return {name: value.numpy() for name, value in found.items() if value.is_floating_point()}


def match(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Their names -> ours, for those of theirs that are one of ours; the nearest where several agree."""
    by_size: dict[int, list[tuple[str, np.ndarray]]] = {}
    for name, value in ours.items():
        by_size.setdefault(value.size, []).append((name, np.sort(value, axis=None)))
    found = {}
    for name, value in theirs.items():
        candidates = by_size.get(value.size, [])
        flat = np.sort(value.astype(np.float32), axis=None)
        if not candidates or flat[0] == flat[-1]:
            continue
        distances = [float(np.abs(flat - other).max()) for _, other in candidates]
        nearest = int(np.argmin(distances))
        if distances[nearest] <= TOLERANCE * float(np.abs(flat).max()):
            found[name] = candidates[nearest][0]
    return found


def activations(points: Sequence[QuantPoint]) -> dict[str, QuantPoint]:
    """The points of activations by the name of their tensor."""
    return {point.tensor: point for point in points if point.role is not TensorRole.WEIGHT}


def weights(points: Sequence[QuantPoint]) -> dict[str, QuantPoint]:
    """The points of weights by the name of their layer."""
    return {point.tensor: point for point in points if point.role is TensorRole.WEIGHT}


def in_use(spec: QuantSpec, tensors: Collection[str]) -> QuantSpec:
    """The specification with the points of those activations alone that a file rounds; all weights' points stay."""
    grids = {spec.shares.get(tensor, tensor) for tensor in tensors}
    used = tuple(point for point in spec.points if point.role is TensorRole.WEIGHT or point.tensor in grids)
    return spec.model_copy(update={"points": used})


def refuse_unmatched(runtime: str, unmatched: Sequence[str]) -> None:
    """ModelError where a runtime needs the grids of tensors that the specification does not have."""
    if unmatched:
        raise ModelError(
            given=f"{len(unmatched)} tensors of the {runtime} file without a grid: {', '.join(unmatched[:4])}",
            expected="a grid for every integer tensor, found when the model was quantized",
            todo="keep these layers float (keep = [...]), or report the operation that they belong to",
        )
