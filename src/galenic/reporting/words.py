"""What the report says in sentences. A page and a terminal say the same words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from galenic.record.artifact import IntegerOps
from galenic.record.errors import InputError
from galenic.record.gate import CheckKind, GateCheck, Verdict
from galenic.record.profile import BudgetStatus
from galenic.record.report import Candidate, Reference, Report
from galenic.record.task import SplitName
from galenic.reporting.numbers import MISSING, metric_label, metric_range, metric_value, ratio, signed, size


class Tone(StrEnum):
    """How a result is coloured; a word and a mark always stand beside the colour."""

    PASS = "pass"
    FAIL = "fail"
    UNSURE = "unsure"


MARKS = {Tone.PASS: "✓", Tone.FAIL: "✕", Tone.UNSURE: "?"}
_GATE = {Verdict.PASS: Tone.PASS, Verdict.FAIL: Tone.FAIL, Verdict.INCONCLUSIVE: Tone.UNSURE}
_BUDGET = {BudgetStatus.MET: Tone.PASS, BudgetStatus.MISSED: Tone.FAIL, BudgetStatus.NOT_MEASURED: Tone.UNSURE}


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
        return Badge(Tone.FAIL, "Budget missed")
    if BudgetStatus.NOT_MEASURED in statuses or not statuses:
        return Badge(Tone.UNSURE, "Budget not measured on the device")
    return Badge(Tone.PASS, "Budget met")


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
    return f"the {precision_label(candidate.precision)} file {name} ({size(candidate.size_bytes)})"


def smaller_phrase(reference: Reference, candidate: Candidate) -> str | None:
    """``41× smaller``, or larger where it is."""
    return _compared(reference.size_bytes, candidate.size_bytes, "smaller", "larger")


def faster_phrase(reference: Reference, candidate: Candidate) -> str | None:
    """``5.1× faster`` by median latency; None where the two were timed in different places or with other threads."""
    ours, theirs = candidate.latency_ms, reference.latency_ms
    if (ours.where, ours.threads) != (theirs.where, theirs.threads):
        return None
    return _compared(theirs.p50, ours.p50, "faster", "slower")


def _compared(reference: float, ours: float, less: str, more: str) -> str | None:
    if ours > reference:
        inverse = ratio(ours, reference)
        return f"{inverse} {more}" if inverse else None
    direct = ratio(reference, ours)
    return f"{direct} {less}" if direct else None


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


def verdict_sentence(report: Report) -> str:
    """The answer of the run in one sentence that a clinician understands."""
    reference, chosen = report.reference, chosen_candidate(report)
    file, checks = file_phrase(chosen), checks_summary(report.gate.checks)
    opening = _OPENINGS[report.gate.verdict](report, file) + f" ({checks})"
    gains = [part for part in (smaller_phrase(reference, chosen), faster_phrase(reference, chosen)) if part]
    sentence = f"{opening}; it is {' and '.join(gains)}" if gains else opening
    if report.budget is not None and report.budget.missed:
        names = ", ".join(c.quantity for c in report.budget.checks if c.status is BudgetStatus.MISSED)
        sentence += f", but it misses the {report.budget.profile} budget ({names})"
    return sentence + "."


def _passed(report: Report, file: str) -> str:
    return f"On the test set {file} lost no more than was allowed beforehand against {report.reference.name}"


def _failed(report: Report, file: str) -> str:
    failed = [check for check in report.gate.checks if check.verdict is Verdict.FAIL]
    if failed and all(check.kind is CheckKind.FLOOR for check in failed):
        return f"On the test set {file} does not reach what was demanded beforehand"
    return f"On the test set {file} is worse than {report.reference.name} by more than was allowed beforehand"


def _undecided(report: Report, file: str) -> str:
    allowed = "within what was allowed beforehand"
    return f"The evidence is not enough to say whether {file} is as good as {report.reference.name} {allowed}"


_OPENINGS = {Verdict.PASS: _passed, Verdict.FAIL: _failed, Verdict.INCONCLUSIVE: _undecided}


def check_demand(check: GateCheck) -> str:
    """What a check demands: ``at most 2.0 points lost``, ``at most 0.020 lost`` or ``at least 90.0 %``."""
    if check.kind is CheckKind.FLOOR:
        return f"at least {metric_value(check.limit, check.endpoint)}"
    return f"at most {signed(check.limit, check.endpoint).lstrip('+')} lost"


def check_value(check: GateCheck) -> str:
    """The difference with its sign, or the file's own value."""
    show = metric_value if check.kind is CheckKind.FLOOR else signed
    return show(check.value, check.endpoint)


def check_interval(check: GateCheck) -> str:
    """``−1.4 to +0.8`` for a difference, ``93.1–95.5 %`` for a value."""
    if check.kind is CheckKind.FLOOR:
        return metric_range(check.low, check.high, check.endpoint)
    low, high = signed(check.low, check.endpoint), signed(check.high, check.endpoint)
    return MISSING if MISSING in (low, high) else f"{low} to {high}"


def interval_level(alpha: float) -> str:
    """One-sided 0.025 -> ``95 %``, the level of the two-sided interval."""
    return f"{(1 - 2 * alpha) * 100:g} %"


def step_titles(report: Report) -> tuple[str, ...]:
    """The reference's name, then each candidate's title, in the order of the report: steps 0, 1, 2 ..."""
    return (report.reference.name, *(candidate.title for candidate in report.candidates))


def split_phrase(split: str) -> str:
    """``test`` -> ``test set``, anything else as it is."""
    return "test set" if split == SplitName.TEST else split


def integer_layers(ops: IntegerOps | None) -> str:
    """``52 of 54``: integer layers of those asked for; a dash where the file has none."""
    return f"{ops.integer} of {ops.expected}" if ops is not None and (ops.integer or ops.expected) else MISSING


def shortfalls(report: Report) -> list[str]:
    """What was asked for and not reached, by name: integer layers that stayed float."""
    lines = []
    for candidate in report.candidates:
        ops = candidate.integer_ops
        if ops is not None and ops.integer < ops.expected:
            names = f": {', '.join(ops.left_float)}" if ops.left_float else ""
            lines.append(
                f"{candidate.title}: {ops.expected - ops.integer} of {ops.expected} layers stayed float{names}."
            )
    return lines
