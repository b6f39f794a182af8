"""The report on a terminal: the verdict in one sentence, the chain, the checks, and where the files lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from galenic.record.report import Metric, Report
from galenic.reporting import words
from galenic.reporting.numbers import (
    MISSING,
    megabytes,
    metric_label,
    metric_range,
    metric_value,
    milliseconds,
    quantity,
    size,
)

WIDE = 110
"""Columns from which a terminal also shows accuracy, memory and integer layers."""

_STYLES = {words.Tone.PASS: "bold green", words.Tone.FAIL: "bold red", words.Tone.UNSURE: "bold yellow"}


def print_summary(report: Report, console: Console, files: Sequence[Path] = ()) -> None:
    """Print ``report``; ``files`` are what the run wrote (the report in its forms), listed below the chosen file."""
    if report.task.synthetic:
        console.print(Text("SYNTHETIC DATA: no patient stands behind these numbers.", style="bold yellow"))
    verdict, budget = words.verdict_badge(report.gate.verdict), words.budget_summary(report)
    console.print(Text.assemble((f"{verdict.mark} ", _STYLES[verdict.tone]), (report.sentence, "bold")))
    console.print(Text(words.file_sentence(report)))
    if budget is not None:
        console.print(_badge(budget))
    console.print(_chain(report, wide=console.width >= WIDE))
    if report.gate.checks:
        console.print(_checks(report))
    if report.budget is not None and report.budget.checks:
        console.print(_budget(report))
    for sentence in (*words.forecast(report), *_comparison(report), *report.notes):
        console.print(Text(f"• {sentence}"))
    for path in (words.chosen_candidate(report).path, *map(str, files)):
        console.print(Text(f"→ {path}", style="cyan"), soft_wrap=True)


def _badge(badge: words.Badge) -> Text:
    return Text(f"{badge.mark} {badge.word}", style=_STYLES[badge.tone])


def _comparison(report: Report) -> list[str]:
    return [report.comparison.sentence] if report.comparison is not None else []


def _table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _chain(report: Report, wide: bool) -> Table:
    """Validation for every file, so that they compare; the test set for the two that the gate read it for."""
    more = ("accuracy", "peak memory", "integer layers") if wide else ()
    columns = ("size", "AUC", "test AUC", "latency", *more)
    table = _table("The chain, on validation and (for two) on the test set", "step", *columns)
    table.columns[0].min_width = 20
    for candidate in report.candidates:
        chosen = candidate.id == report.chosen
        cells = [
            f"★ {candidate.title}" if chosen else candidate.title,
            size(candidate.size_bytes),
            _metric(candidate.validation, "auc"),
            _metric(words.test_metrics(report, candidate), "auc"),
            f"{milliseconds(candidate.latency_ms.p50)}\np90 {milliseconds(candidate.latency_ms.p90)}",
        ]
        if wide:
            cells += [_metric(candidate.validation, "accuracy"), megabytes(candidate.memory_peak_mb)]
            cells.append(words.integer_layers(candidate.integer_ops))
        table.add_row(*map(Text, cells), style="bold" if chosen else None)
    return table


def _metric(metrics: Mapping[str, Metric], name: str) -> str:
    metric = metrics.get(name)
    if metric is None:
        return MISSING
    return f"{metric_value(metric.value, name)}\n{metric_range(metric.low, metric.high, name)}"


def _checks(report: Report) -> Table:
    level = words.interval_level(report.gate.alpha)
    table = _table("The gate, on the test set", "check", "demanded", "found", f"{level} interval", "n", "verdict")
    for check in report.gate.checks:
        table.add_row(
            Text(f"{metric_label(check.endpoint)} {check.kind.value}"),
            Text(words.check_demand(check)),
            Text(words.check_value(check)),
            Text(words.check_interval(check)),
            Text(f"{check.n:,}"),
            _badge(words.verdict_badge(check.verdict)),
        )
    return table


def _budget(report: Report) -> Table:
    assert report.budget is not None
    table = _table(f"Device budget: {report.budget.profile}", "limit", "allowed", "found", "status", "measured on")
    for check in report.budget.checks:
        table.add_row(
            Text(check.quantity),
            Text(quantity(check.limit, check.unit)),
            Text(quantity(check.value, check.unit)),
            _badge(words.budget_badge(check.status)),
            Text(check.where),
        )
    return table
