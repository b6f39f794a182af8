from math import exp, factorial, log

import pytest

from galenic.record.errors import InputError
from galenic.stats.rates import poisson_rate


def at_most(events, mean):
    return sum(exp(-mean) * mean**k / factorial(k) for k in range(events + 1))


def test_no_event_in_three_hours_is_not_none_a_day():
    found = poisson_rate(0, 3.07 / 24)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(-log(0.025) * 24 / 3.07)


@pytest.mark.parametrize("events", [1, 3, 10])
def test_its_ends_are_where_the_poisson_tails_are_alpha(events):
    found = poisson_rate(events, 2.0)
    assert found.value == events / 2
    assert at_most(events, 2 * found.high) == pytest.approx(0.025)
    assert 1 - at_most(events - 1, 2 * found.low) == pytest.approx(0.025)


def test_published_values():
    # Garwood's table at 95 %: 5 events, 1.623 to 11.668
    found = poisson_rate(5, 1.0)
    assert (found.low, found.high) == (pytest.approx(1.623, abs=5e-4), pytest.approx(11.668, abs=5e-4))


@pytest.mark.parametrize(("events", "time"), [(-1, 1.0), (1, 0.0), (1, -2.0), (1, float("nan"))])
def test_what_is_no_count_or_no_time_is_refused(events, time):
    with pytest.raises(InputError, match="events in a time"):
        poisson_rate(events, time)
