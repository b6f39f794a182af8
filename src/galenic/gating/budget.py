"""A profile's limits beside what was measured. Size and precision are the same everywhere; time and memory belong to a machine.

    size        of the linked program where there is one (flash), else of what the file stores, else of the file itself
    size, p90, memory       have to be below the limit, as "under 5 MB" says
    flash, RAM, precision   may reach it: a chip can be filled, and 8-bit weights are what "INT8" asks for; fewer bits are less

Flash and RAM belong to a program that was linked for the device's processor, wherever that was done. A limit that nothing
was measured for stands there with NaN for its value, as not measured: it is never left out and never met. So does a floor of
accuracy that no gate was asked to judge: accuracy is the gate's to find, not the budget's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite, nan

from galenic.record.artifact import Artifact
from galenic.record.errors import InputError
from galenic.record.gate import CheckKind, GateResult
from galenic.record.measurement import Footprint
from galenic.record.profile import BudgetCheck, BudgetResult, BudgetStatus, Profile

HOST = "host"
"""The device of a profile that is about whatever machine runs galenic."""
ANY_MACHINE = "any machine"
LINKED = "the program as it is linked for the device"
STORED = "weights and tables as the device stores them; code comes on top"
WEIGHTS = "bits of the weights"
REACHABLE = ("flash", "RAM", "precision")
"""Quantities that may reach their limit; all others stay below it."""


@dataclass(frozen=True)
class Timed:
    """What a machine took to run a file.

    Attributes:
        p90_ms: the 90th percentile of single-stream latency, measured at ``where``; None where it was not.
        memory_mb: the peak memory of a process that runs it, measured at ``where``, in units of 10^6 bytes; None likewise.
        where: the machine of these two numbers.
        caveat: what these two numbers are not, where the runtime only stands for the device's; then they judge nothing.
        device: whose they are. They judge the budget only where the profile is about that device.
    """

    p90_ms: float | None
    memory_mb: float | None
    where: str
    caveat: str = ""
    device: str = HOST


def check_budget(
    profile: Profile, file: Artifact, timed: Timed, linked: Footprint | None = None, accuracy_judged: float = 0.0
) -> BudgetResult:
    """Compare one file with a profile.

    Args:
        profile: the limits; what it does not limit is left out.
        file: whose size and precision count.
        timed: where it ran, and what that took.
        linked: the program of the file as it is linked for the device's processor, None where there is none.
        accuracy_judged: the floor of accuracy that a gate judged the file by, 0 without one.
    """
    on_device = profile.device == timed.device and not timed.caveat
    flash, ram = (linked.flash_bytes, linked.ram_bytes) if linked else (None, None)
    size, measured_on = (flash, LINKED) if flash is not None else stored_size(file)
    quantities = (
        ("size", profile.size_bytes, size, "bytes", True, measured_on),
        ("p90 latency", profile.p90_ms, timed.p90_ms, "ms", on_device, timed.where),
        ("peak memory", profile.memory_mb, timed.memory_mb, "MB", on_device, timed.where),
        ("flash", profile.flash_bytes, flash, "bytes", True, LINKED),
        ("RAM", profile.ram_bytes, ram, "bytes", True, LINKED),
        ("precision", most_bits(profile), weight_bits(file.precision), "bits", True, WEIGHTS),
    )
    checks = [
        _check(quantity, float(limit), value, unit, measured, place)
        for quantity, limit, value, unit, measured, place in quantities
        if limit is not None
    ]
    floor = profile.accuracy_floor
    if floor is not None and accuracy_judged < floor:
        checks.append(_unjudged(floor))
    return BudgetResult(profile=profile.name, checks=tuple(checks))


def keeps_size_and_precision(profile: Profile, file: Artifact) -> bool:
    """Whether a file is below the profile's size and within its precision, as far as they are known before anything is linked."""
    bits, most = weight_bits(file.precision), most_bits(profile)
    small = profile.size_bytes is None or stored_size(file)[0] < profile.size_bytes
    return small and (bits is None or most is None or bits <= most)


def stored_size(file: Artifact) -> tuple[int, str]:
    """What a file takes of the device's storage, in bytes, and what these are: C is text here and numbers there."""
    return (file.size_bytes, ANY_MACHINE) if file.stored_bytes is None else (file.stored_bytes, STORED)


def weight_bits(precision: str) -> int | None:
    """``int8`` -> 8, ``w4a8`` -> 4, ``weights-int4`` -> 4, ``float32`` -> 32; None where a precision is not known."""
    found = re.search(r"\d+", precision)
    return int(found[0]) if found else None


def most_bits(profile: Profile) -> int | None:
    """The most bits of a weight that a profile's precisions have; None where any will do."""
    return max((bits for one in profile.precisions if (bits := weight_bits(one)) is not None), default=None)


def accuracy_floor(gate: GateResult) -> float:
    """The floor of accuracy that a gate judged its file by; 0 where none was declared."""
    floors = (check.limit for check in gate.checks if check.kind is CheckKind.FLOOR and check.endpoint == "accuracy")
    return max(floors, default=0.0)


def _check(quantity: str, limit: float, value: float | None, unit: str, measured: bool, place: str) -> BudgetCheck:
    if value is not None and (not isfinite(value) or value < 0):
        raise InputError(
            given=f"a {quantity} of {value} {unit} from {place}",
            expected="a finite number that is not negative",
            todo="measure it again",
        )
    kept = value is not None and (value < limit or (value == limit and quantity in REACHABLE))
    judged = BudgetStatus.MET if kept else BudgetStatus.MISSED
    return BudgetCheck(
        quantity=quantity,
        limit=limit,
        value=nan if value is None else value,
        unit=unit,
        status=judged if measured and value is not None else BudgetStatus.NOT_MEASURED,
        where=place,
    )


def _unjudged(floor: float) -> BudgetCheck:
    """A demand of accuracy that no gate was asked to judge."""
    return BudgetCheck(
        quantity="accuracy, at least",
        limit=floor * 100,
        value=nan,
        unit="%",
        status=BudgetStatus.NOT_MEASURED,
        where=f"no gate judged it: [gate.floors] accuracy = {floor:g}",
    )
