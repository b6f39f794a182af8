"""A profile: a device's limits, what runs on it, what it has for energy, and how a file measured up to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from galenic.record.base import Record

RUNTIME_NAMES = (
    "onnxruntime",
    "onnxruntime-mobile",
    "openvino",
    "litert",
    "executorch",
    "torch-mobile",
    "coreml",
    "tensorrt",
    "tflite-micro",
    "c",
)
"""What a profile may name; a runtime that is not installed here can still be what a device has."""


class Power(Record):
    """What a device has for energy, for estimates. Every number here is a published one, named in ``source``.

    Attributes:
        source: where the numbers were read, and what part they were measured on; shown beside every estimate.
        battery_wh: what the battery holds, watt-hours.
        base_power_mw: what the device draws all the time, the model aside.
        active_power_mw: what its processor draws while it computes.
        nj_per_mac: energy of one multiply-accumulate of a net, measured on parts of this class, nanojoules.
        nj_per_mac_low, nj_per_mac_high: the least and the most that was measured on this class.
    """

    source: str = Field(min_length=1)
    battery_wh: float | None = Field(default=None, gt=0)
    base_power_mw: float = Field(default=0.0, ge=0)
    active_power_mw: float | None = Field(default=None, gt=0)
    nj_per_mac: float | None = Field(default=None, gt=0)
    nj_per_mac_low: float | None = Field(default=None, gt=0)
    nj_per_mac_high: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Power:
        known = [one for one in (self.nj_per_mac_low, self.nj_per_mac, self.nj_per_mac_high) if one is not None]
        if known != sorted(known) or (known and self.nj_per_mac is None):
            raise ValueError("nj_per_mac has to lie between nj_per_mac_low and nj_per_mac_high")
        return self


class Preset(Record):
    """What one would do first for a device, as the part of a recipe that says so.

    Attributes:
        name: such as ``android``.
        summary: one line for people.
        recipe: TOML with keys of a recipe (runtime, student, phase, choose, gate); nothing reads it but people who paste it.
    """

    name: str
    summary: str
    recipe: str


class Profile(Record):
    """The limits of a device. None: no limit.

    Attributes:
        name: as in ``galenic profiles``.
        summary: one line for people.
        device: the machine these limits are about; ``host`` means whatever machine runs galenic.
        size_bytes, p90_ms, memory_mb: what has to be more than is taken: "under 100 ms" is not 100 ms.
        better_size_bytes: a smaller size that is worth reaching, which nothing is judged by.
        flash_bytes: of a microcontroller, for code and weights; it may be filled.
        ram_bytes: of a microcontroller, for the arena, the stack and everything else; it may be filled.
        precisions: that its models have, by the bits of their weights; fewer bits than any of these are within it. Any where it
            is empty.
        accuracy_floor: what comes before every other limit, a share of right answers; the gate judges it where a recipe
            declares it ([gate.floors] accuracy), and a budget says where none did.
        runtimes: what can run there; any where it is empty.
        power: what it has for energy; None where nothing is known.
        preset: what one would do first.
    """

    name: str
    summary: str
    device: str
    size_bytes: int | None = None
    p90_ms: float | None = None
    memory_mb: float | None = None
    better_size_bytes: int | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    precisions: tuple[Literal["int4", "int8", "float16", "float32"], ...] = ()
    accuracy_floor: float | None = Field(default=None, gt=0, lt=1)
    runtimes: tuple[str, ...] = ()
    power: Power | None = None
    preset: tuple[Preset, ...] = ()


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
