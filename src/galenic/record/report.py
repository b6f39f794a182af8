"""report.json: everything a run found, in one versioned record. Renderers read this and nothing else.

FORMAT_VERSION
    1  the first.
    2  probe, which may be absent, in the report and in its recipe; task.transfer, teacher, members and choose in the recipe,
       transfer in the overlap. Version 1 is still read.
    3  quant: the points of every tensor, shares, weights_hash, measured, sensitivities and notes; in its rule arithmetic,
       group_size and layers, and the observer may be null. Versions 1 and 2 are still read.
    4  parity: relative_difference and mean_difference, which may be null. Versions 1 to 3 are still read.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from galenic.record.artifact import IntegerOps
from galenic.record.base import Record
from galenic.record.gate import GateResult
from galenic.record.measurement import Breakdown, Latency
from galenic.record.profile import BudgetResult
from galenic.record.quant import QuantSpec
from galenic.record.recipe import Recipe
from galenic.record.task import OverlapReport

FORMAT_VERSION = 4
READABLE_VERSIONS = (1, 2, 3, 4)


class RunInfo(Record):
    """Which run, on what."""

    id: str
    name: str
    seed: int
    started: str
    host: str
    versions: Mapping[str, str]
    seconds: float
    threads: int


class TaskInfo(Record):
    """The data, by name and hash."""

    name: str
    source: str
    kind: str
    modality: str
    classes: tuple[str, ...]
    positive: tuple[str, ...]
    synthetic: bool
    sizes: Mapping[str, int]
    positives: Mapping[str, int]
    groups: tuple[str, ...]
    overlap: OverlapReport
    content_hash: str


class Metric(Record):
    """A value with its interval and its number of cases."""

    value: float
    low: float
    high: float
    n: int


class Confusion(Record):
    """Counts[true][predicted] on ``split``."""

    split: str
    counts: tuple[tuple[int, ...], ...]


class Parity(Record):
    """The file against the torch model it came from, or against that model's simulation, on the same inputs.

    Attributes:
        max_difference: the largest one of a logit.
        agreement: the share of equal decisions.
        n: the number of inputs.
        against: what the file is set beside.
        relative_difference: the largest difference / the largest logit of what it is set beside; None in older reports.
        mean_difference: the mean difference / that largest logit.
    """

    max_difference: float
    agreement: float
    n: int
    against: str = "the torch model"
    relative_difference: float | None = None
    mean_difference: float | None = None


class Candidate(Record):
    """One file on the way, with everything measured on it.

    ``metrics`` are of ``split``: validation, and test for the chosen one alone. ``validation`` is always of validation, so
    that candidates can be compared; the reference's own file is the first candidate.
    """

    id: str
    title: str
    lineage: tuple[str, ...]
    runtime: str
    precision: str
    path: str
    sha256: str
    size_bytes: int
    parameters: int
    macs: int
    split: str
    metrics: Mapping[str, Metric]
    validation: Mapping[str, Metric]
    latency_ms: Latency
    breakdown_ms: Breakdown
    memory_peak_mb: float
    parity: Parity | None = None
    integer_ops: IntegerOps | None = None
    on_frontier: bool = False
    confusion: Confusion | None = None
    quant: QuantSpec | None = None


class Comparison(Record):
    """Student alone, distilled student and teacher on validation, so that a harmful teacher is seen."""

    metric: str
    teacher: float
    student_alone: float | None
    distilled: float
    sentence: str


class ProbeOutcome(StrEnum):
    """What a probe says of a distillation that has not been done yet."""

    HELP = "expected to help"
    HURT = "expected to hurt"
    UNDECIDED = "undecided"
    LEFT_OUT = "not probed"


class ProbeResult(Record):
    """Teacher, student alone and distilled student on validation, before the hours of distillation were spent.

    Attributes:
        outcome: what is expected.
        sentence: the same for people, with the numbers.
        metric: of all numbers here.
        epochs: of the two short trainings; None where the student alone had its whole training and none was short.
        teacher, student_alone, distilled: the metric of each; None where it was not needed.
        teacher_gain, distilled_gain: each minus the student alone, paired case by case.
    """

    outcome: ProbeOutcome
    sentence: str
    metric: str = "auc"
    epochs: int | None = None
    teacher: Metric | None = None
    student_alone: Metric | None = None
    distilled: Metric | None = None
    teacher_gain: Metric | None = None
    distilled_gain: Metric | None = None


class Reference(Record):
    """The trusted model, and its test metrics beside the chosen file's."""

    name: str
    runtime: str
    path: str
    sha256: str
    parameters: int
    macs: int
    size_bytes: int
    split: str
    metrics: Mapping[str, Metric]
    latency_ms: Latency
    memory_peak_mb: float
    confusion: Confusion | None = None


class Report(Record):
    """The whole run. ``chosen`` is the id of the candidate that was gated, ``sentence`` the verdict in plain words."""

    format_version: int = FORMAT_VERSION
    run: RunInfo
    task: TaskInfo
    reference: Reference
    candidates: tuple[Candidate, ...]
    chosen: str
    chosen_because: str
    gate: GateResult
    sentence: str
    budget: BudgetResult | None
    comparison: Comparison | None = None
    probe: ProbeResult | None = None
    notes: tuple[str, ...] = ()
    recipe: Recipe
