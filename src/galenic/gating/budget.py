"""A profile's limits beside what was measured. Size is the same everywhere; time and memory belong to a machine.

Flash and RAM belong to a program that was linked for the device's processor, wherever that was done. A limit that nothing
was measured for stands there with NaN for its value, as not measured: it is never left out and never met.
"""

from __future__ import annotations

from math import isfinite, nan

from galenic.record.errors import InputError
from galenic.record.profile import BudgetCheck, BudgetResult, BudgetStatus, Profile

HOST = "host"
"""The device of a profile that is about whatever machine runs galenic."""
ANY_MACHINE = "any machine"
LINKED = "the program as it is linked for the device"


def check_budget(
    profile: Profile,
    *,
    size_bytes: int,
    p90_ms: float | None,
    memory_mb: float | None,
    where: str,
    caveat: str = "",
    device: str = HOST,
    flash_bytes: float | None = None,
    ram_bytes: float | None = None,
) -> BudgetResult:
    """Compare one file with a profile.

    Args:
        profile: the limits; what it does not limit is left out.
        size_bytes: of the file.
        p90_ms: the 90th percentile of single-stream latency, measured at ``where``; None where it was not.
        memory_mb: the peak memory of a process that runs it, measured at ``where``, in units of 10^6 bytes; None likewise.
        where: the machine of these two numbers.
        caveat: what these two numbers are not, where the runtime only stands for the device's; then they judge nothing.
        device: whose they are. They judge the budget only where the profile is about that device.
        flash_bytes, ram_bytes: of the linked program (code and weights; arena and stack), None where there is none.
    """
    on_device = profile.device == device and not caveat
    quantities = (
        ("size", profile.size_bytes, float(size_bytes), "bytes", True, ANY_MACHINE),
        ("p90 latency", profile.p90_ms, p90_ms, "ms", on_device, where),
        ("peak memory", profile.memory_mb, memory_mb, "MB", on_device, where),
        ("flash", profile.flash_bytes, flash_bytes, "bytes", True, LINKED),
        ("RAM", profile.ram_bytes, ram_bytes, "bytes", True, LINKED),
    )
    checks = tuple(
        _check(quantity, float(limit), value, unit, measured, place)
        for quantity, limit, value, unit, measured, place in quantities
        if limit is not None
    )
    return BudgetResult(profile=profile.name, checks=checks)


def _check(quantity: str, limit: float, value: float | None, unit: str, measured: bool, place: str) -> BudgetCheck:
    if value is not None and (not isfinite(value) or value < 0):
        raise InputError(
            given=f"a {quantity} of {value} {unit} from {place}",
            expected="a finite number that is not negative",
            todo="measure it again",
        )
    kept = BudgetStatus.MET if value is not None and value <= limit else BudgetStatus.MISSED
    return BudgetCheck(
        quantity=quantity,
        limit=limit,
        value=nan if value is None else value,
        unit=unit,
        status=kept if measured and value is not None else BudgetStatus.NOT_MEASURED,
        where=place,
    )
