"""How the weights that stay are spread over layers. density = weights that stay / weights of the layer.

    uniform    the same density in every layer
    erk        density_l = e (sum of the weight's sides) / (their product)        Erdos-Renyi-Kernel
               e is such that the whole has the density that is asked for; a layer that would have more than 1 stays dense, and e
               is found anew for the others.
ERK: Evci et al., "Rigging the lottery", ICML 2020 (arXiv:1911.11134), section 3, after Mocanu et al. 2018 (SET).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from math import prod

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each weight, by name."""


class Distribution(StrEnum):
    """How the weights that stay are spread over layers."""

    UNIFORM = "uniform"
    ERK = "erk"


def uniform(shapes: Shapes, density: float) -> dict[str, float]:
    """The same density for every layer."""
    return dict.fromkeys(shapes, density)


def erk(shapes: Shapes, density: float) -> dict[str, float]:
    """More density for smaller layers: their weights grow with the product of their sides, their density with the sum."""
    raw = {name: sum(shape) / prod(shape) for name, shape in shapes.items()}
    weights = {name: prod(shape) for name, shape in shapes.items()}
    left = density * sum(weights.values())
    dense: set[str] = set()
    while True:
        free = [name for name in shapes if name not in dense]
        budget = left - sum(weights[name] for name in dense)
        e = budget / sum(raw[name] * weights[name] for name in free) if free else 0.0
        full = [name for name in free if e * raw[name] > 1]
        if not full:
            return {name: 1.0 if name in dense else e * raw[name] for name in shapes}
        dense.update(full)


DENSITIES: Mapping[Distribution, Callable[[Shapes, float], dict[str, float]]] = {
    Distribution.UNIFORM: uniform,
    Distribution.ERK: erk,
}
"""(shapes, density of the whole) -> density of each layer."""
