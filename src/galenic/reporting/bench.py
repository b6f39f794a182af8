"""The result of ``galenic bench`` on a terminal: times, parts, budget, energy and operations, in the words of bench.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from galenic.record.bench import BatteryLife, BenchResult, BenchRow, ColdStart, Mode, OpTimes, RealTime
from galenic.record.measurement import Measurement, Ratio
from galenic.record.profile import BudgetStatus
from galenic.reporting.numbers import MISSING, megabytes, milliseconds, quantity, size

DEADLINES = {RealTime.HARD: "hard (< 10 ms)", RealTime.SOFT: "soft (< 100 ms)", RealTime.NONE: "no"}
MOST_OPS = 15
"""Operations on a terminal; bench.json and the page have all of them."""
ESTIMATED = "estimated"


def print_bench(result: BenchResult, console: Console) -> None:
    """Print everything: which file to ship first, the notes last."""
    style = "MLPerf-style single stream" if result.mode is Mode.FULL else "quick look"
    console.print(Text(f"{result.machine}; {style}; rows: {result.data}", style="dim"))
    console.print(_times(result))
    for table in (_parts(result.rows), _budget(result), _energy(result), *_operations(result.rows)):
        if table is not None:
            console.print(table)
    console.print(Text(result.sentence, style="bold"))
    for note in (*energy_notes(result), *result.notes):
        console.print(Text(f"• {note}"))


def row_title(row: BenchRow) -> str:
    """``files/model.onnx · openvino · 2 threads``."""
    return f"{row.file} · {row.runtime} · {row.threads} thread{'s' if row.threads > 1 else ''}"


def _times(result: BenchResult) -> Table:
    columns = ["size", "p90", "p50", "real time", "samples/s", "cold start", "memory"]
    against = [f"× faster than {result.against}"] if result.against else []
    table = _table("Whole answers, one after the other", ["file", *columns, *against])
    for row in result.rows:
        stream = row.stream
        cells = [row_title(row), size(row.size_bytes)]
        if stream is None:
            cells += [MISSING] * 3
        else:
            between = f"{milliseconds(stream.p90_low)} – {milliseconds(stream.p90_high)}"
            cells += [f"{milliseconds(stream.latency.p90)}\n{between}", milliseconds(stream.latency.p50)]
            cells.append(DEADLINES[stream.real_time] if stream.real_time else "not judged")
        cells += [thousands(row.throughput), _start(row.cold_start), _memory(row)]
        if result.against:
            cells.append(_ratio(row.versus))
        table.add_row(*map(Text, cells))
    return table


def _parts(rows: Sequence[BenchRow]) -> Table | None:
    columns = ["preprocessing", "inference", "postprocessing", "p99", "answers", "imports", "load", "first answer"]
    table = _table("Medians of the parts, and of a fresh process", ["file", *columns])
    for row in rows:
        if row.stream is not None:
            parts = row.stream.breakdown
            times = [parts.preprocessing, parts.inference, parts.postprocessing]
            start = row.cold_start
            fresh = [start.imports, start.load, start.first_answer] if start else []
            cells = [*map(milliseconds, (*times, row.stream.latency.p99)), f"{row.stream.latency.runs:,}"]
            cells += [*map(milliseconds, fresh), *[MISSING] * (3 - len(fresh))]
            table.add_row(*map(Text, (row_title(row), *cells)))
    return table if table.row_count else None


def _budget(result: BenchResult) -> Table | None:
    checked = [(row, check) for row in result.rows if row.budget for check in row.budget.checks]
    if not checked:
        return None
    table = _table(f"The limits of {result.profile}", ["file", "limit", "allowed", "found", "status", "measured on"])
    styles = {BudgetStatus.MET: "green", BudgetStatus.MISSED: "bold red", BudgetStatus.NOT_MEASURED: "yellow"}
    for row, check in checked:
        cells = (row_title(row), check.quantity, quantity(check.limit, check.unit), quantity(check.value, check.unit))
        table.add_row(*map(Text, cells), Text(check.status.value, styles[check.status]), Text(check.where or MISSING))
    return table


def _energy(result: BenchResult) -> Table | None:
    known = [(row, row.energy) for row in _each_file(result.rows) if row.energy and row.energy.per_answer]
    if not known:
        return None
    duties = list(dict.fromkeys(one.duty.name for _, energy in known for one in energy.battery))
    columns = ["file", "energy of one answer", *(f"battery, {duty}" for duty in duties), "relative lower bound"]
    table = _table(f"Energy on {result.profile}", columns)
    for row, energy in known:
        lives = {one.duty.name: one for one in energy.battery}
        cells = [row.file, joules(energy.per_answer), *(battery_life(lives.get(duty)) for duty in duties)]
        bound = energy.lower_bound_mj
        cells.append(f"{_millijoules(bound)} (Horowitz, 45 nm)" if bound is not None else MISSING)
        table.add_row(*map(Text, cells))
    return table


def energy_notes(result: BenchResult) -> Iterable[str]:
    """Where energies come from, what is missing, and what the lower bound is."""
    rows = [row for row in _each_file(result.rows) if row.energy]
    for row in rows:
        energy = row.energy
        assert energy is not None
        if energy.source:
            yield f"{row.file}: energy {energy.source}."
        if energy.reason:
            yield f"{row.file}: {energy.reason}."
    if any(row.energy and row.energy.lower_bound_mj is not None for row in rows):
        yield (
            "The relative lower bound compares files with each other: arithmetic at 45 nm and one reading of the weights. A "
            "microcontroller's arithmetic takes a thousand to ten thousand times as much."
        )


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


def _each_file(rows: Sequence[BenchRow]) -> list[BenchRow]:
    """One row of each file: its energy on a device does not depend on this machine's runtime and threads."""
    return list({row.sha256 + row.file: row for row in reversed(rows)}.values())[::-1]


def battery_life(life: BatteryLife | None) -> str:
    """``12 days (9 days – 40 days), estimated``."""
    if life is None:
        return MISSING
    low, high = life.hours.low, life.hours.high
    return f"{_long(life.hours.value)} ({_long(low)} – {_long(high)}), {ESTIMATED}"


def _long(hours: float) -> str:
    """``5.9 h``, ``12 days``."""
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"


def joules(found: Measurement | None) -> str:
    """``40 mJ (6.5 mJ – 41 mJ), estimated``, or ``38 mJ, measured, n = 100``."""
    if found is None:
        return MISSING
    if found.place is not None and found.place.estimated:
        return f"{_millijoules(found.value)} ({_millijoules(found.low)} – {_millijoules(found.high)}), {ESTIMATED}"
    return f"{_millijoules(found.value)}, measured, n = {found.n:,}"


def _millijoules(value: float) -> str:
    return f"{value * 1000:.3g} µJ" if value < 1 else f"{value:.3g} mJ"


def thousands(found: Measurement | None) -> str:
    """``12,345``, and its interval below it."""
    return MISSING if found is None else f"{found.value:,.0f}\n{found.low:,.0f} – {found.high:,.0f}"


def _start(found: ColdStart | None) -> str:
    return MISSING if found is None else milliseconds(found.total)


def _memory(row: BenchRow) -> str:
    if row.footprint is not None:
        return f"flash {size(row.footprint.flash_bytes)}, RAM {size(row.footprint.ram_bytes)}"
    if row.arena_bytes is not None:
        return f"arena {size(row.arena_bytes)}"
    return MISSING if row.memory_peak_mb is None else megabytes(row.memory_peak_mb)


def _ratio(found: Ratio | None) -> str:
    return MISSING if found is None else f"{found.value:.2f} ({found.low:.2f} – {found.high:.2f})"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table
