"""A measurement: a value with its unit, interval, number of cases or runs, and the place it was taken."""

from __future__ import annotations

from collections.abc import Mapping

from galenic.record.base import Record


class Place(Record):
    """Where a number was taken. A number without a place is no number.

    Attributes:
        machine: processor and core count, or a device's name.
        runtime: the runtime that ran the file, or "host" for things that need none.
        versions: package -> version.
        threads: how many threads the runtime was given; 0 where it does not matter.
        estimated: True where it was computed from a model and not measured.
        device: what of the machine computed: ``cpu``, ``gpu``, or a runtime's own name of it.
        caveat: what a number from here is not, such as "graph checked, never run on Apple hardware"; it is shown beside it.
    """

    machine: str
    runtime: str
    versions: Mapping[str, str] = {}
    threads: int = 0
    estimated: bool = False
    device: str = "cpu"
    caveat: str = ""


class Measurement(Record):
    """``value`` in ``unit`` with the interval [low, high] over ``n`` cases or runs; low = high = value where exact."""

    value: float
    unit: str
    low: float
    high: float
    n: int
    place: Place | None = None


class Latency(Record):
    """Single-stream latency of one artifact, batch 1, in milliseconds; with a ``caveat`` it keeps no device's limit."""

    p50: float
    p90: float
    p99: float
    runs: int
    threads: int
    where: str
    caveat: str = ""


class Breakdown(Record):
    """The median milliseconds of each part of one answer."""

    preprocessing: float
    inference: float
    postprocessing: float


class Footprint(Record):
    """What a net takes of a microcontroller, its own code and weights alone.

    Attributes:
        flash_bytes: code, tables and weights.
        static_bytes: variables: the tensors, the input's place included.
        stack_bytes: the deepest stack of an answer.
        instructions: of an answer; how long they take depends on the chip.
        where: the core, what plays it, and the compiler.
    """

    flash_bytes: int
    static_bytes: int
    stack_bytes: int
    instructions: int
    where: str

    @property
    def ram_bytes(self) -> int:
        """Variables and stack."""
        return self.static_bytes + self.stack_bytes


class Ratio(Record):
    """How many times faster one file is than another, timed in turn; the median of ``rounds`` and its 95 % interval."""

    value: float
    low: float
    high: float
    rounds: int
