"""Progress without a terminal is a line when a piece of work begins and one when it is done; with one, a bar that moves."""

from __future__ import annotations

import io

from rich.console import Console

from galenic.cli import screen
from galenic.cli.screen import Bars, show_error
from galenic.record.errors import DataError


def test_without_a_terminal_the_beginning_and_the_end_are_told(capsys) -> None:
    with Bars() as bars:
        bars("training", 0, 2)
        bars("training", 1, 2, "loss 0.5")
        bars("training", 2, 2, "loss 0.4")
    assert capsys.readouterr().err.splitlines() == ["begun: training", "done: training loss 0.4"]


def test_the_bar_of_work_without_parts_moves_until_it_is_done() -> None:
    bars = Bars()
    bars("exporting", 0, 1)
    bars("training", 0, 2)
    bars("training", 1, 2)
    whole, parts = bars._bars.tasks
    assert (whole.total, whole.finished) == (None, False), "rich draws a moving bar where the total is not known"
    assert (parts.total, parts.completed) == (2, 1)
    bars("exporting", 1, 1)
    assert (whole.total, whole.completed, whole.finished) == (1, 1, True)


def test_on_a_terminal_a_long_note_is_shown_whole_on_a_line_of_its_own(monkeypatch) -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, width=200, force_terminal=True, color_system=None, _environ={})
    monkeypatch.setattr(screen, "errors", terminal)
    warning = (
        "Warning: the teacher is worse than the student alone, so distillation is expected to hurt; take a better one."
    )
    with Bars() as bars:
        bars("probe", 0, 1)
        bars("probe", 1, 1, warning)
    assert warning in stream.getvalue()


def test_brackets_in_what_was_given_are_shown_as_they_are(capsys) -> None:
    show_error(DataError("row [3] of [bold]x[/bold]", "a row", "mend it"))
    assert "row [3] of [bold]x[/bold]" in capsys.readouterr().err
