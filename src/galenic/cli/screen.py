"""What the command line shows: errors, and progress with the time that is left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

from galenic.record.errors import GalenicError

A_FEW_WORDS = 40
"""A note that is longer does not fit beside a bar and gets a line of its own."""
output = Console()
errors = Console(stderr=True)


def show_error(error: GalenicError) -> None:
    """What was given, what was expected, what to do next."""
    lines = [
        f"[bold]given[/]     {escape(error.given)}",
        f"[bold]expected[/]  {escape(error.expected)}",
        f"[bold]do next[/]   {escape(error.todo)}",
    ]
    errors.print(Panel("\n".join(lines), title=f"[red]error[/] ({error.code})", title_align="left", border_style="red"))


def show_internal_error(error: Exception) -> None:
    """A fault of ours, on one screen."""
    lines = [
        f"[bold]what[/]      {escape(f'{type(error).__name__}: {error}'[:600])}",
        "[bold]this is[/]   a fault in galenic, not in what you gave; what was finished is kept",
        "[bold]do next[/]   run again with GALENIC_DEBUG=1 and report the traceback that it prints",
    ]
    errors.print(Panel("\n".join(lines), title="[red]internal error[/]", title_align="left", border_style="red"))


class Bars:
    """A progress sink: a bar with the time left for each piece of work; where there is no terminal, a line when it begins and
    one when it is done. The bar of work that has no parts moves to and fro, since nothing says how much of it is left.
    """

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<36}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeLeftColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=errors,
            disable=not errors.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, work: str, done: int, total: int, note: str = "") -> None:
        """Move the bar of ``work``; a piece of work that starts again gets a new bar."""
        if len(note) > A_FEW_WORDS and errors.is_terminal:
            self._bars.console.print(note, highlight=False, markup=False)
            note = ""
        known = None if done < total == 1 else total
        if work not in self._tasks or (done == 0 and self._bars.tasks[self._tasks[work]].finished):
            self._tasks[work] = self._bars.add_task(work, total=known, completed=done, note=note)
            if done < total and not errors.is_terminal:
                errors.print(f"begun: {work}", highlight=False, markup=False)
        self._bars.update(self._tasks[work], completed=done, total=known, note=note)
        if done == total and not errors.is_terminal:
            errors.print(f"done: {work} {note}".rstrip(), highlight=False)
