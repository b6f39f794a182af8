"""The knapsack against every combination, and against two that are worked out by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.compress.quantize.allocation import Option, allocate, total_cost, total_harm
from galenic.record.errors import RecipeError

LAYERS = [
    [Option(0.0, 8), Option(3.0, 4)],
    [Option(0.0, 80), Option(1.0, 40)],
    [Option(0.0, 16), Option(2.0, 8)],
]


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [
        (104, (0, 0, 0)),
        (103, (0, 1, 0)),  # the second layer alone saves 40 for 1
        (64, (0, 1, 0)),
        (63, (0, 1, 1)),  # then the third saves 8 for 2; the first would save 4 for 3
        (52, (1, 1, 1)),
    ],
)
def test_the_layer_that_saves_most_for_least_harm_goes_first(budget: float, chosen: tuple[int, ...]) -> None:
    assert allocate(LAYERS, budget) == chosen


def test_a_greedy_choice_is_not_the_best_one() -> None:
    # by harm for each byte saved the first layer goes first (0.1 against 0.11), but then both have to go
    layers = [[Option(0.0, 10), Option(0.9, 1)], [Option(0.0, 10), Option(1.1, 0)]]
    assert allocate(layers, 10) == (0, 1)


def test_a_budget_that_nothing_fits_says_the_smallest() -> None:
    with pytest.raises(RecipeError) as caught:
        allocate(LAYERS, 51.5)
    assert "51.5 bytes for 3 layers" in caught.value.given
    assert "at least 52 bytes" in caught.value.expected
    with pytest.raises(RecipeError, match=r"1\.5 ms"):
        allocate([[Option(0.0, 1.5)]], 1, "ms")


def test_no_layers_need_nothing() -> None:
    assert allocate([], 0.0) == ()


def test_sums_of_floats_may_be_off_by_a_rounding() -> None:
    layers = [[Option(0.0, 0.1)], [Option(0.0, 0.2)]]
    assert 0.1 + 0.2 > 0.3
    assert allocate(layers, 0.3) == (0, 0)


options = st.lists(
    st.lists(
        st.builds(Option, st.floats(1e-9, 10.0), st.integers(1, 10**7).map(float)),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(options, st.floats(0.0, 1.0))
def test_no_combination_within_the_budget_harms_less(layers: list[list[Option]], share: float) -> None:
    least, most = (sum(pick(o.cost for o in layer) for layer in layers) for pick in (min, max))
    budget = least + share * (most - least)
    chosen = allocate(layers, budget)
    assert total_cost(layers, chosen) <= budget * (1 + 1e-9)
    every = itertools.product(*(range(len(layer)) for layer in layers))
    best = min(total_harm(layers, one) for one in every if total_cost(layers, one) <= budget)
    assert total_harm(layers, chosen) <= best + 1e-9 * max(o.harm for layer in layers for o in layer)


def test_as_many_layers_as_a_deep_net_has() -> None:
    layers = [
        [Option(1e-6 * (7 * i % 11), 1000 + 13 * i), Option(1e-3 * (5 * i % 13), 500 + 7 * i)] for i in range(150)
    ]
    whole = sum(layer[0].cost for layer in layers)
    chosen = allocate(layers, 0.75 * whole)
    assert total_cost(layers, chosen) <= 0.75 * whole
    assert 0 < sum(chosen) < 150
