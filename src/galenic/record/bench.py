"""bench.json: what ``galenic bench`` measured of files on this machine, and what it estimated for a profile's device.

FORMAT_VERSION
    1  the first.
    2  a place with cold start, memory (a Measurement now) and turns (``versus``, both files' places); a device's measurement
       names its runtime and threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field

from galenic.record.base import Record
from galenic.record.measurement import Breakdown, Footprint, Latency, Measurement, Place, Ratio
from galenic.record.profile import BudgetResult

FORMAT_VERSION = 2


class Mode(StrEnum):
    """MLPerf-style, or a short look whose p90 is rough."""

    FULL = "full"
    QUICK = "quick"


class RealTime(StrEnum):
    """Which deadline a p90 keeps: hard real time (under 10 ms), soft (under 100 ms), or none."""

    HARD = "hard"
    SOFT = "soft"
    NONE = "none"


class Stream(Record):
    """Single-stream latency: one answer after the other, batch 1, warm.

    Attributes:
        latency: percentiles of whole answers.
        p90_low, p90_high: the 95 % interval of the p90, for answers that do not depend on each other.
        breakdown: the median of each part.
        seconds: how long the counted answers took together.
        real_time: the deadline that the p90 keeps; None where the place's caveat forbids to say.
    """

    latency: Latency
    p90_low: float
    p90_high: float
    breakdown: Breakdown
    seconds: float
    real_time: RealTime | None


class ColdStart(Record):
    """A fresh process from nothing to its first answer, medians of ``n`` processes in milliseconds.

    The disk's cache is warm. ``low`` and ``high`` are the fastest and the slowest process.

    Attributes:
        total: from the start of the process to the first answer, Python and the imports included.
        imports: of the runtime's package alone.
        load: of the file.
        first_answer: of a raw row, preprocessing and postprocessing included.
        place: what ran it in these processes.
    """

    total: float
    low: float
    high: float
    imports: float
    load: float
    first_answer: float
    n: int
    place: Place


class Versus(Record):
    """How many times faster a file is than another, timed in turn, and what ran the one and the other."""

    ratio: Ratio
    place: Place
    against: Place


class OpTime(Record):
    """One operation of a file as its runtime runs it, fused ones under the runtime's own name.

    Attributes:
        name: of the node.
        op: its kind.
        milliseconds: of one row.
        share: of all operations together.
    """

    name: str
    op: str
    milliseconds: float
    share: float


class OpTimes(Record):
    """Where the time of one row goes; without operations ``reason`` says why there are none.

    Attributes:
        ops: the longest first.
        whole_ms: of one inference, as the profiler itself saw it where it does, so with its own cost.
        runs: of one row each.
        statistic: over the runs: ``interquartile mean``, or ``mean`` where the runtime tells no more.
        reason: why the runtime told nothing.
    """

    ops: tuple[OpTime, ...] = ()
    whole_ms: float = 0.0
    runs: int = 0
    statistic: str = "mean"
    reason: str = ""


class DeviceMeasurement(Record):
    """What was measured of one file on the device itself, as a JSON file that somebody wrote there.

    Attributes:
        device: as the profile calls it.
        sha256: of the file that was measured.
        runtime: that ran it there, as galenic calls it.
        threads: that it was given there.
        method: what measured it, such as ``INA219 at 1 kHz, median of 5 windows of 10 s``.
        runs: how many answers.
        energy_mj: of one answer.
        active_power_mw: while it computes.
        p90_ms: single stream.
        memory_mb: the peak.
    """

    device: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    runtime: str = Field(min_length=1)
    threads: int = Field(ge=1)
    method: str = Field(min_length=1)
    runs: int = Field(ge=1)
    energy_mj: float | None = Field(default=None, gt=0)
    active_power_mw: float | None = Field(default=None, gt=0)
    p90_ms: float | None = Field(default=None, gt=0)
    memory_mb: float | None = Field(default=None, gt=0)


class Duty(Record):
    """How often a device answers. ``wakes_per_hour`` is None where it answers all the time."""

    name: str
    wakes_per_hour: float | None = None
    answers_per_wake: int = 1


class BatteryLife(Record):
    """How long a battery lasts at a duty; ``hours.place.estimated`` says whether anything of it was measured.

    Attributes:
        duty: how often the device answers.
        hours: with the interval of the energy; n is 0 for an estimate.
        mean_power_mw: of the whole device.
        days: the same time in days.
    """

    duty: Duty
    hours: Measurement
    mean_power_mw: float

    @property
    def days(self) -> float:
        """Hours / 24."""
        return self.hours.value / 24


class Energy(Record):
    """The energy of one answer on a profile's device.

    Attributes:
        per_answer: in mJ; None where nothing is known, and ``reason`` says why.
        battery: at each duty that the device can do; empty where the profile has no battery.
        lower_bound_mj: arithmetic and weights alone by Horowitz's 45 nm table, only to compare files with each other.
        source: where the numbers come from.
        reason: what is missing.
    """

    per_answer: Measurement | None = None
    battery: tuple[BatteryLife, ...] = ()
    lower_bound_mj: float | None = None
    source: str = ""
    reason: str = ""


class BenchRow(Record):
    """One file in one runtime with one number of threads; where something was not measured, ``reason`` says why.

    Attributes:
        file: its path as given.
        runtime, precision, threads, device: what runs it.
        versions: of the runtime.
        sha256, size_bytes, macs, parameters: of the file; 0 for what its card does not know.
        stored_bytes: of its weights and tables on a device, where the file is source text.
        caveat: what the numbers here are not; then they are never judged and the file is never recommended.
        stream: single-stream latency.
        throughput: samples/s in batches.
        batch_rows: rows in each of these batches.
        cold_start: of a fresh process.
        memory_peak: of a fresh process that loads it and answers, MB.
        footprint: of the program as it is linked for a microcontroller.
        arena_bytes: what TFLite Micro's interpreter takes for tensors; a program's RAM is more.
        versus: beside the file of ``--against``, timed in turn; None where the time of either is not a device's.
        budget: beside the profile's limits; None without a profile.
        energy: on the profile's device; None without a profile.
        gated: whether the given report's gate passed this file; None without a report.
        op_times: None where they were not asked for.
        reason: why nothing was measured, or a part was not.
    """

    file: str
    runtime: str
    precision: str
    threads: int
    device: str
    versions: Mapping[str, str] = {}
    sha256: str
    size_bytes: int
    macs: int
    parameters: int
    stored_bytes: int | None = None
    caveat: str = ""
    stream: Stream | None = None
    throughput: Measurement | None = None
    batch_rows: int = 0
    cold_start: ColdStart | None = None
    memory_peak: Measurement | None = None
    footprint: Footprint | None = None
    arena_bytes: int | None = None
    versus: Versus | None = None
    budget: BudgetResult | None = None
    energy: Energy | None = None
    gated: bool | None = None
    op_times: OpTimes | None = None
    reason: str = ""


class BenchResult(Record):
    """bench.json.

    Attributes:
        mode: how long each file was measured.
        machine: this one.
        started: when, UTC.
        versions: package -> version.
        seed: of the rows, where they were drawn.
        data: where the rows came from, in words.
        profile: the name of the profile; empty without one.
        against: the file that others were timed in turn with; empty without one.
        rows: one for each file, runtime and number of threads.
        sentence: which file to ship on this machine, and why.
        notes: what else has to be said.
    """

    format_version: int = FORMAT_VERSION
    mode: Mode
    machine: str
    started: str
    versions: Mapping[str, str]
    seed: int
    data: str
    profile: str = ""
    against: str = ""
    rows: tuple[BenchRow, ...]
    sentence: str
    notes: tuple[str, ...] = ()
