"""A profile: a device's limits, and how a file measured up to them."""

from __future__ import annotations

from enum import StrEnum

from galenic.record.base import Record


class Profile(Record):
    """The limits of a device. None: no limit.

    Attributes:
        name: as in ``galenic profiles``.
        summary: one line for people.
        device: the machine these limits are about; ``host`` means whatever machine runs galenic.
        size_bytes, p90_ms, memory_mb: the most that is allowed.
    """

    name: str
    summary: str
    device: str
    size_bytes: int | None = None
    p90_ms: float | None = None
    memory_mb: float | None = None


class BudgetStatus(StrEnum):
    """Met, missed, or not measured on the device that the budget is about."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not measured on the device"


class BudgetCheck(Record):
    """One limit beside what was measured, and where."""

    quantity: str
    limit: float
    value: float
    unit: str
    status: BudgetStatus
    where: str


class BudgetResult(Record):
    """A profile and its checks."""

    profile: str
    checks: tuple[BudgetCheck, ...]

    @property
    def missed(self) -> bool:
        """True where any limit was measured and not kept."""
        return any(check.status is BudgetStatus.MISSED for check in self.checks)
