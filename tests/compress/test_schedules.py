"""Values over a training, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galenic.compress.schedules import Schedule, Shape, constant, warm_up


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        (Shape.CONSTANT, [8.0, 8.0, 8.0, 8.0]),
        (Shape.LINEAR, [8.0, 6.5, 5.0, 3.5]),
        (Shape.COSINE, [8.0, 2 + 6 * 0.8535534, 5.0, 2 + 6 * 0.1464466]),
        (Shape.CUBIC, [8.0, 2 + 6 * 27 / 64, 2 + 6 / 8, 2 + 6 / 64]),
    ],
)
def test_from_eight_to_two_in_four_epochs(shape: Shape, values: list[float]) -> None:
    """Progress 0, 1/4, 1/2, 3/4; (1 + cos(pi / 4)) / 2 = 0.8535534."""
    schedule = Schedule(8.0, 2.0, shape)
    assert [schedule.at(quarter / 4) for quarter in range(4)] == pytest.approx(values)


@given(
    st.floats(-10, 10),
    st.floats(-10, 10),
    st.sampled_from(list(Shape)),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1),
)
def test_it_starts_at_its_start_and_never_turns_back(
    start: float, end: float, shape: Shape, progress: float, share: float
) -> None:
    schedule = Schedule(start, end, shape)
    assert schedule.at(0.0) == start
    slack = 1e-12
    way, earlier = abs(schedule.at(progress) - start), abs(schedule.at(progress * share) - start)
    assert earlier <= way + slack
    assert way <= abs(end - start) + slack


def test_cubic_is_the_formula_of_zhu_and_gupta() -> None:
    """s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3 with s_i = 0.1, s_f = 0.9, t_0 = 20, n = 10, dt = 4."""
    schedule = Schedule(0.1, 0.9, Shape.CUBIC)
    found = [schedule.at((t - 20) / 40) for t in (20, 24, 40, 52)]
    assert found == pytest.approx([0.9 - 0.8 * left**3 for left in (1, 0.9, 0.5, 0.2)])
    assert found == pytest.approx([0.1, 0.3168, 0.8, 0.8936])


def test_a_constant_may_be_infinite() -> None:
    assert constant(math.inf).at(0.0) == constant(math.inf).at(0.9) == math.inf


def test_a_warm_up_rises_to_one_and_stays() -> None:
    assert [warm_up(progress, 0.2) for progress in (0.0, 0.05, 0.1, 0.2, 0.9)] == pytest.approx([0, 0.25, 0.5, 1, 1])
    assert warm_up(0.0, 0.0) == 1.0
