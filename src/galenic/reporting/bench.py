"""The result of ``galenic bench`` on a terminal: every table, and of each file the operations that take longest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from galenic.record.bench import BenchResult, BenchRow, Mode, OpTimes
from galenic.record.profile import BudgetStatus
from galenic.reporting.bench_tables import WORDS, BenchTable, Cell, energy_notes, row_title, tables, versions_line
from galenic.reporting.numbers import milliseconds

MOST_OPS = 15
"""Operations on a terminal; bench.json and the page have all of them."""
STYLES = {BudgetStatus.MET: "green", BudgetStatus.MISSED: "bold red", BudgetStatus.NOT_MEASURED: "yellow"}


def print_bench(result: BenchResult, console: Console) -> None:
    """Print everything: the tables first, then which file to ship, the notes last."""
    style = "MLPerf-style single stream" if result.mode is Mode.FULL else "quick look"
    console.print(Text(f"{result.machine}; {style}; rows: {result.data}; {versions_line(result)}", style="dim"))
    for table in (*map(_printed, tables(result)), *_operations(result.rows)):
        console.print(table)
    console.print(Text(result.sentence, style="bold"))
    for note in (*energy_notes(result), *result.notes):
        console.print(Text(f"• {note}"))


def _printed(table: BenchTable) -> Table:
    made = _table(table.title, table.columns)
    for row in table.rows:
        made.add_row(*map(_text, row))
    return made


def _text(cell: Cell) -> Text:
    return Text(cell.value, STYLES[cell]) if isinstance(cell, BudgetStatus) else Text(cell)


def _operations(rows: Sequence[BenchRow]) -> Iterable[Table | Text]:
    for row in rows:
        found = row.op_times
        if found is None:
            continue
        if found.reason:
            yield Text(f"Where the time goes: {row_title(row)}: {found.reason}.")
            continue
        table = _table(f"Where the time goes: {row_title(row)}", ["operation", "kind", "time", "share"])
        for one in found.ops[:MOST_OPS]:
            table.add_row(*map(Text, (one.name, one.op, milliseconds(one.milliseconds), f"{one.share * 100:.1f} %")))
        table.caption = _caption(found)
        table.caption_justify = "left"
        yield table


def _caption(found: OpTimes) -> str:
    inside = sum(one.milliseconds for one in found.ops)
    more = f"and {len(found.ops) - MOST_OPS} more; " if len(found.ops) > MOST_OPS else ""
    whole = f"operations {milliseconds(inside)} of {milliseconds(found.whole_ms)}"
    return f"{more}{whole}, {found.statistic}s of {found.runs} rows, profiler included"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if column in WORDS or index == 0 else "right", overflow="fold")
    return table
