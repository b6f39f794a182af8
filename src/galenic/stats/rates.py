"""How often something happens: events in a time, with the exact interval of their rate.

    low = chi2(alpha; 2 k) / 2t      high = chi2(1 - alpha; 2 k + 2) / 2t      k events in time t
(Garwood 1936, Biometrika 28:437). No event is not a rate of zero: its upper end is -ln(alpha) / t.
"""

from __future__ import annotations

from math import isfinite

from scipy.stats import chi2

from galenic.record.errors import InputError
from galenic.stats.estimate import ALPHA, Estimate


def poisson_rate(events: int, time: float, alpha: float = ALPHA) -> Estimate:
    """Events per unit of ``time``, with the interval that has ``alpha`` on each side.

    Raises:
        InputError: a negative number of events, or no time.
    """
    if events < 0 or not isfinite(time) or time <= 0:
        raise InputError(f"{events} events in a time of {time}", "0 or more in a time above zero", "count them again")
    low = float(chi2.ppf(alpha, 2 * events)) / 2 if events else 0.0
    high = float(chi2.ppf(1 - alpha, 2 * events + 2)) / 2
    return Estimate(value=events / time, low=low / time, high=high / time, n=events, method="Garwood")
