"""Bits for every layer under a budget: a knapsack, one choice for each layer (HAWQ-V3: Yao et al., 2021, arXiv:2011.10680).

    minimise  sum of harm[l, c(l)]      subject to  sum of cost[l, c(l)] <= budget
where c(l) is the choice for layer l. Harm and cost are taken to add up over layers. Solved exactly, as an integer program
with one 0/1 variable for each layer and choice (HiGHS, through scipy).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from galenic.record.errors import RecipeError

HARM_SCALE = 1e4
"""What the largest harm is for the solver, which takes differences under 1e-6 for none."""

ROUNDING = 1e-9
"""The share of a budget by which sums of floats may pass it."""

ATTEMPTS = 5


class Option(NamedTuple):
    """One choice for a layer: what it harms and what it costs, each in one unit for all layers."""

    harm: float
    cost: float


def allocate(options: Sequence[Sequence[Option]], budget: float, unit: str = "bytes") -> tuple[int, ...]:
    """The number of the option that each layer gets, so that the sum of harms is the smallest within the budget.

    Raises:
        RecipeError: even the cheapest options together cost more; it says how much.
    """
    if not options:
        return ()
    least = sum(min(option.cost for option in layer) for layer in options)
    allowed = budget + ROUNDING * max(abs(budget), abs(least))
    if least > allowed:
        raise RecipeError(
            given=f"a budget of {budget:,.6g} {unit} for {len(options)} layers",
            expected=f"at least {least:,.6g} {unit}, the smallest that these choices can come to",
            todo="raise the budget, allow fewer bits, or keep fewer layers at more",
        )
    limit = allowed
    for _ in range(ATTEMPTS):
        chosen = _solved(options, limit)
        over = total_cost(options, chosen) - allowed
        if over <= 0:
            return chosen
        limit = max(limit - 2 * over, least)  # the solver lets a constraint be passed by its tolerance
    return tuple(min(range(len(layer)), key=lambda number: layer[number].cost) for layer in options)


def total_cost(options: Sequence[Sequence[Option]], chosen: Sequence[int]) -> float:
    """What a choice costs in all."""
    return sum(layer[number].cost for layer, number in zip(options, chosen, strict=True))


def total_harm(options: Sequence[Sequence[Option]], chosen: Sequence[int]) -> float:
    """What a choice harms in all."""
    return sum(layer[number].harm for layer, number in zip(options, chosen, strict=True))


def _solved(options: Sequence[Sequence[Option]], limit: float) -> tuple[int, ...]:
    harms = np.array([option.harm for layer in options for option in layer], np.float64)
    costs = np.array([option.cost for layer in options for option in layer], np.float64)
    owners = np.array([number for number, layer in enumerate(options) for _ in layer])
    one_each = (np.arange(len(options))[:, None] == owners).astype(np.float64)
    found = milp(
        HARM_SCALE * harms / (np.abs(harms).max() or 1.0),
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(costs[None], -np.inf, limit)],
        integrality=np.ones_like(harms),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    assert found.x is not None, found.message  # the cheapest options are within the limit
    return tuple(int(np.argmax(found.x[owners == number])) for number in range(len(options)))
