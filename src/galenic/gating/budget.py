"""A profile's limits beside what was measured. Size is the same everywhere; time and memory belong to a machine."""

from __future__ import annotations

from math import isfinite

from galenic.record.errors import InputError
from galenic.record.profile import BudgetCheck, BudgetResult, BudgetStatus, Profile

HOST = "host"
"""The device of a profile that is about whatever machine runs galenic."""


def check_budget(
    profile: Profile, *, size_bytes: int, p90_ms: float, memory_mb: float, where: str, caveat: str = ""
) -> BudgetResult:
    """Compare one file with a profile.

    Args:
        profile: the limits; what it does not limit is left out.
        size_bytes: of the file.
        p90_ms: the 90th percentile of single-stream latency, measured at ``where``.
        memory_mb: the peak memory of a process that runs it, measured at ``where``, in units of 10^6 bytes.
        where: the machine of these two numbers. They judge the budget only where the profile is about the host.
        caveat: what these two numbers are not, where the runtime only stands for the device's; then they judge nothing.
    """
    on_device = profile.device == HOST and not caveat
    quantities = (
        ("size", profile.size_bytes, float(size_bytes), "bytes", True, "any machine"),
        ("p90 latency", profile.p90_ms, p90_ms, "ms", on_device, where),
        ("peak memory", profile.memory_mb, memory_mb, "MB", on_device, where),
    )
    checks = tuple(
        _check(quantity, float(limit), value, unit, measured, place)
        for quantity, limit, value, unit, measured, place in quantities
        if limit is not None
    )
    return BudgetResult(profile=profile.name, checks=checks)


def _check(quantity: str, limit: float, value: float, unit: str, measured: bool, place: str) -> BudgetCheck:
    if not isfinite(value) or value < 0:
        raise InputError(
            given=f"a {quantity} of {value} {unit} from {place}",
            expected="a finite number that is not negative",
            todo="measure it again",
        )
    status = BudgetStatus.MET if value <= limit else BudgetStatus.MISSED
    return BudgetCheck(
        quantity=quantity,
        limit=limit,
        value=value,
        unit=unit,
        status=status if measured else BudgetStatus.NOT_MEASURED,
        where=place,
    )
