"""Densities of layers against the published formula, written out here anew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.compress.densities import DENSITIES, Distribution, erk, uniform


def published(shapes: dict[str, tuple[int, int, int, int]], density: float) -> dict[str, float]:
    """Evci et al. 2020: n (1 - (n_in + n_out + kw + kh) / (n_in n_out kw kh)) weights go; layers over 1 stay dense.

    For each set of dense layers that a growing threshold of the ratio gives, the first whose others have less than 1.
    """
    ratio = {k: (o + i + h + w) / (o * i * h * w) for k, (o, i, h, w) in shapes.items()}
    count = {k: o * i * h * w for k, (o, i, h, w) in shapes.items()}
    by_ratio = sorted(shapes, key=lambda k: -ratio[k])
    for dense in range(len(by_ratio)):
        rest = by_ratio[dense:]
        to_give = density * sum(count.values()) - sum(count[k] for k in by_ratio[:dense])
        factor = to_give / sum(ratio[k] * count[k] for k in rest)
        if all(factor * ratio[k] <= 1 for k in rest):
            return {k: factor * ratio[k] if k in rest else 1.0 for k in shapes}
    return dict.fromkeys(shapes, 1.0)


def test_two_layers_by_hand() -> None:
    """Sides 4 + 8 = 12 and 2 + 4 = 6: of 32 + 8 weights 10 stay, 10 / 18 for each side."""
    found = erk({"a": (4, 8), "b": (2, 4)}, 0.25)
    assert found == pytest.approx({"a": 12 * 10 / 18 / 32, "b": 6 * 10 / 18 / 8})


def test_a_layer_that_would_have_more_than_all_stays_dense_and_the_others_share_the_rest() -> None:
    """20 of 40: 20 / 18 for each side gives b 6.67 of 8; 30 of 40: 10 of 8, so b has 8 and a the other 22."""
    assert erk({"a": (4, 8), "b": (2, 4)}, 0.5)["b"] == pytest.approx(6 * 20 / 18 / 8)
    assert erk({"a": (4, 8), "b": (2, 4)}, 0.75) == pytest.approx({"a": 22 / 32, "b": 1.0})


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.6, 0.9])
def test_erk_is_the_published_formula(density: float) -> None:
    shapes = {
        "stem": (16, 3, 3, 3),
        "a": (16, 16, 3, 3),
        "down": (32, 16, 1, 1),
        "b": (32, 32, 3, 3),
        "c": (64, 32, 3, 3),
    }
    assert erk(shapes, density) == pytest.approx(published(shapes, density))
    if density == 0.3:
        assert [name for name, one in erk(shapes, density).items() if one == 1] == ["stem", "down"]


SHAPES = st.lists(
    st.lists(st.integers(1, 64), min_size=2, max_size=2).flatmap(
        lambda sides: st.sampled_from([1, 3, 5]).map(lambda k: (*sides, k, k) if k > 1 else tuple(sides))
    ),
    min_size=1,
    max_size=8,
)


@given(layers=SHAPES, density=st.floats(0.01, 0.99), distribution=st.sampled_from(list(Distribution)))
@settings(max_examples=150, deadline=None)
def test_the_whole_has_the_density_that_is_asked_for_and_no_layer_more_than_all(
    layers: list[tuple[int, ...]], density: float, distribution: Distribution
) -> None:
    shapes = {str(number): shape for number, shape in enumerate(layers)}
    found = DENSITIES[distribution](shapes, density)
    assert set(found) == set(shapes)
    assert all(0 < one <= 1 for one in found.values())
    counts = {}
    for name, shape in shapes.items():
        counts[name] = 1
        for side in shape:
            counts[name] *= side
    total = sum(counts.values())
    assert sum(found[name] * counts[name] for name in shapes) == pytest.approx(density * total, rel=1e-9)


def test_uniform_is_the_same_everywhere() -> None:
    assert uniform({"a": (4, 8), "b": (2, 4)}, 0.3) == {"a": 0.3, "b": 0.3}
