"""What the report says in sentences. A page and a terminal say the same words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from galenic.record.artifact import IntegerOps
from galenic.record.errors import InputError
from galenic.record.gate import CheckKind, GateCheck, Verdict
from galenic.record.profile import BudgetResult, BudgetStatus
from galenic.record.report import Candidate, Metric, ProbeOutcome, Reference, Report
from galenic.record.task import SplitName
from galenic.reporting.numbers import (
    MISSING,
    is_proportion,
    metric_label,
    metric_range,
    metric_value,
    ratio,
    signed,
    size,
)


class Tone(StrEnum):
    """How a result is coloured; a word and a mark always stand beside the colour."""

    PASS = "pass"
    FAIL = "fail"
    UNSURE = "unsure"


MARKS = {Tone.PASS: "✓", Tone.FAIL: "✕", Tone.UNSURE: "?"}
TEXTS = frozenset({".c"})
"""Suffixes of source texts: what a device stores is made of them."""
_GATE = {Verdict.PASS: Tone.PASS, Verdict.FAIL: Tone.FAIL, Verdict.INCONCLUSIVE: Tone.UNSURE}
_BUDGET = {BudgetStatus.MET: Tone.PASS, BudgetStatus.MISSED: Tone.FAIL, BudgetStatus.NOT_MEASURED: Tone.UNSURE}
_PROBE = {
    ProbeOutcome.HELP: Tone.PASS,
    ProbeOutcome.HURT: Tone.FAIL,
    ProbeOutcome.UNDECIDED: Tone.UNSURE,
    ProbeOutcome.LEFT_OUT: Tone.UNSURE,
}


@dataclass(frozen=True)
class Badge:
    """A tone, its mark and a word."""

    tone: Tone
    word: str

    @property
    def mark(self) -> str:
        """A sign that is read without colour."""
        return MARKS[self.tone]


def verdict_badge(verdict: Verdict) -> Badge:
    """Pass, Fail or Inconclusive."""
    return Badge(_GATE[verdict], verdict.value.capitalize())


def budget_badge(status: BudgetStatus) -> Badge:
    """Met, Missed, or Not measured on the device."""
    return Badge(_BUDGET[status], status.value.capitalize())


def budget_summary(report: Report) -> Badge | None:
    """One badge for the whole profile; None where the run had none."""
    if report.budget is None:
        return None
    statuses = [check.status for check in report.budget.checks]
    if BudgetStatus.MISSED in statuses:
        return Badge(Tone.FAIL, f"Budget missed: {_missed(report.budget)}")
    if BudgetStatus.NOT_MEASURED in statuses or not statuses:
        return Badge(Tone.UNSURE, "Budget not measured on the device")
    return Badge(Tone.PASS, "Budget met")


def probe_badge(outcome: ProbeOutcome) -> Badge:
    """Expected to help, Expected to hurt, Undecided, or Not probed."""
    return Badge(_PROBE[outcome], outcome.value.capitalize())


def gain(found: Metric, metric: str) -> str:
    """A difference with its interval: ``+0.031 (+0.012 to +0.050)``."""
    value, low, high = (signed(number, metric) for number in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def forecast(report: Report) -> list[str]:
    """What the probe said, unless the notes say it too."""
    return [report.probe.sentence] if report.probe is not None and report.probe.sentence not in report.notes else []


def chosen_candidate(report: Report) -> Candidate:
    """The file that was gated; raises InputError where the report names one that it does not hold."""
    for candidate in report.candidates:
        if candidate.id == report.chosen:
            return candidate
    raise InputError(
        given=f"the report of run {report.run.id} names {report.chosen!r} as its chosen file",
        expected=f"one of its candidates: {', '.join(c.id for c in report.candidates) or 'it has none'}",
        todo="make it again with `galenic compress RECIPE`",
    )


def precision_label(precision: str) -> str:
    """``int8`` -> ``INT8``, ``float32`` as it is."""
    return precision.upper() if precision.startswith("int") else precision


def file_phrase(candidate: Candidate) -> str:
    """``the INT8 file mobilenet.int8.onnx (1.08 MB)``."""
    name = candidate.path.replace("\\", "/").rsplit("/", 1)[-1]
    text = " of text" if PurePath(name).suffix in TEXTS else ""
    return f"the {precision_label(candidate.precision)} file {name} ({size(candidate.size_bytes)}{text})"


def smaller_phrase(reference: Reference, candidate: Candidate) -> str | None:
    """``41× smaller``, or larger where it is; None for a source text, whose length is no size on a device."""
    if PurePath(candidate.path).suffix in TEXTS:
        return None
    return _compared(reference.size_bytes, candidate.size_bytes, "smaller", "larger")


def faster_phrase(reference: Reference, candidate: Candidate) -> str | None:
    """``5.1× faster`` by median latency; None where the two were timed in different places or with other threads."""
    ours, theirs = candidate.latency_ms, reference.latency_ms
    if (ours.where, ours.threads) != (theirs.where, theirs.threads):
        return None
    return _compared(theirs.p50, ours.p50, "faster", "slower")


def _compared(reference: float, ours: float, less: str, more: str) -> str | None:
    """None where either is not known or the two are alike."""
    factor, word = (ratio(ours, reference), more) if ours > reference else (ratio(reference, ours), less)
    return None if factor in (None, "1.0×") else f"{factor} {word}"


def checks_summary(checks: tuple[GateCheck, ...]) -> str:
    """``3 of 3 checks passed``, with those that did not by name."""
    if not checks:
        return "no check was declared"
    passed = sum(check.verdict is Verdict.PASS for check in checks)
    parts = [f"{passed} of {len(checks)} checks passed"]
    for verdict, word in ((Verdict.FAIL, "failed"), (Verdict.INCONCLUSIVE, "undecided")):
        names = [f"{metric_label(check.endpoint)} {check.kind.value}" for check in checks if check.verdict is verdict]
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    return "; ".join(parts)


def file_sentence(report: Report) -> str:
    """Which file it is, how it stands beside the reference in size and speed, and what the gate found in all."""
    reference, chosen = report.reference, chosen_candidate(report)
    gains = [part for part in (smaller_phrase(reference, chosen), faster_phrase(reference, chosen)) if part]
    beside = f", {' and '.join(gains)} than {reference.name}" if gains else ""
    budget = report.budget
    missed = f"; it misses the {budget.profile} budget ({_missed(budget)})" if budget and budget.missed else ""
    return f"It is {file_phrase(chosen)}{beside}; {checks_summary(report.gate.checks)}{missed}."


def _missed(budget: BudgetResult) -> str:
    return ", ".join(check.quantity for check in budget.checks if check.status is BudgetStatus.MISSED)


def check_demand(check: GateCheck) -> str:
    """What a check demands: ``at most 2.0 points lost``, ``at most 0.020 lost`` or ``at least 90.0 %``."""
    if check.kind is CheckKind.FLOOR:
        return f"at least {metric_value(check.limit, check.endpoint)}"
    return f"at most {signed(check.limit, check.endpoint).lstrip('+')}{_points(check)} lost"


def check_value(check: GateCheck) -> str:
    """``−1.2 points`` for a difference, ``94.3 %`` for the file's own value."""
    if check.kind is CheckKind.FLOOR:
        return metric_value(check.value, check.endpoint)
    text = signed(check.value, check.endpoint)
    return text if text == MISSING else f"{text}{_points(check)}"


def _points(check: GateCheck) -> str:
    return " points" if is_proportion(check.endpoint) else ""


def check_interval(check: GateCheck) -> str:
    """``−1.4 to +0.8`` for a difference, ``93.1–95.5 %`` for a value."""
    if check.kind is CheckKind.FLOOR:
        return metric_range(check.low, check.high, check.endpoint)
    low, high = signed(check.low, check.endpoint), signed(check.high, check.endpoint)
    return MISSING if MISSING in (low, high) else f"{low} to {high}"


def interval_level(alpha: float) -> str:
    """One-sided 0.025 -> ``95 %``, the level of the two-sided interval."""
    return f"{(1 - 2 * alpha) * 100:g} %"


def is_reference(report: Report, candidate: Candidate) -> bool:
    """Whether a candidate is the reference's own file."""
    return candidate.sha256 == report.reference.sha256


def test_metrics(report: Report, candidate: Candidate) -> Mapping[str, Metric]:
    """What the gate's reading of the test set says of this file: empty but for the chosen one and the reference."""
    if candidate.split == SplitName.TEST:
        return candidate.metrics
    if is_reference(report, candidate) and report.reference.split == SplitName.TEST:
        return report.reference.metrics
    return {}


def split_phrase(split: str) -> str:
    """``test`` -> ``test set``, anything else as it is."""
    return "test set" if split == SplitName.TEST else split


def integer_layers(ops: IntegerOps | None) -> str:
    """``52 of 54``: integer layers of those asked for; a dash where the file has none."""
    return f"{ops.integer} of {ops.expected}" if ops is not None and (ops.integer or ops.expected) else MISSING
