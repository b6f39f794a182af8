from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from galenic.record.report import Report
from galenic.reporting.terminal import print_summary


def shown(report: Report, width: int = 160, files: tuple[Path, ...] = ()) -> str:
    stream = io.StringIO()
    print_summary(report, Console(file=stream, width=width, color_system=None), files)
    return stream.getvalue()


def test_the_summary_has_the_verdict_the_chain_the_checks_and_the_files(passing: Report) -> None:
    text = shown(passing, files=(Path("/tmp/runs/report.html"),))
    first, *_ = text.splitlines()
    assert first == "SYNTHETIC DATA: no patient stands behind these numbers."
    assert " ".join(passing.sentence.split()) in " ".join(text.split())
    for part in (
        "27× smaller and 14× faster",
        "★ mobilenet_v3_small",
        "1.68 MB",
        "0.955–0.967",
        "54 of 54",
        "−2.9 to +0.5",
        "✓ Pass",
        "? Not measured on the device",
        "distillation did no harm",
        "• Probe: the teacher is better than the student alone",
        "→ runs/lesions/files/int8.onnx",
        "→ /tmp/runs/report.html",
    ):
        assert part in text


def test_other_verdicts(sample: ModuleType) -> None:
    assert "✕ Fail: with 97.5 % confidence" in shown(sample.failing())
    assert "✕ Budget missed: p90 latency" in shown(sample.failing())
    assert "? Inconclusive" in shown(sample.undecided())


def test_the_probes_warning_is_said_once_where_the_notes_say_it_too(sample: ModuleType) -> None:
    assert shown(sample.failing()).count("Probe: the teacher is worse than the student alone") == 1
    assert "Probe" not in shown(sample.passing().model_copy(update={"probe": None}))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(passing: Report, width: int) -> None:
    text = shown(passing, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert ("integer layers" in text) is (width >= 110)


def test_nothing_is_cut_off_at_80_columns(passing: Report) -> None:
    text = shown(passing, 80)
    for part in ("0.955–0.967", "p90 0.385 ms", "−2.9 to +0.5", "✓ Pass"):
        assert part in text


def test_markup_in_a_name_is_text(sample: ModuleType) -> None:
    text = shown(sample.hostile("[bold red]x[/]"))
    assert "• [bold red]x[/]" in text
    assert "→ [bold red]x[/]" in text
