"""The tables of ``galenic bench``, as both of its renderers show them: every row in each table that says anything of it.

A cell is text; below a line break in it stands what belongs to the value, such as its interval. A limit's status is a cell as
it is, since a renderer has a colour for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from galenic.record.bench import BatteryLife, BenchResult, BenchRow, RealTime, Stream
from galenic.record.measurement import Measurement, Place
from galenic.record.profile import BudgetStatus
from galenic.reporting.numbers import MISSING, megabytes, milliseconds, quantity, size

DEADLINES = {RealTime.HARD: "hard (< 10 ms)", RealTime.SOFT: "soft (< 100 ms)", RealTime.NONE: "no"}
ESTIMATED = "estimated"

Cell = str | BudgetStatus
WORDS = ("file", "precision", "real time", "limit", "status", "where", "where the other", "measured on")
"""Columns of words; in all others numbers stand one below the other."""


@dataclass(frozen=True)
class BenchTable:
    """A title, the columns, and rows of as many cells; the first cell of a row names the file."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def tables(result: BenchResult) -> list[BenchTable]:
    """All that have a row."""
    found = (
        _answers(result),
        _parts(result.rows),
        _starts(result.rows),
        _turns(result),
        _boards(result.rows),
        _budget(result),
        _energy(result),
    )
    return [table for table in found if table.rows]


def row_title(row: BenchRow) -> str:
    """``files/model.onnx · openvino · 2 threads``."""
    return f"{row.file} · {row.runtime} · {row.threads} thread{'s' if row.threads > 1 else ''}"


def _answers(result: BenchResult) -> BenchTable:
    columns = ("file", "precision", "size", "p90", "p50", "real time", "samples/s", "peak memory")
    rows = []
    for row in result.rows:
        memory = MISSING if row.memory_peak is None else megabytes(row.memory_peak.value)
        name = f"{row_title(row)}\n{row.caveat}" if row.caveat else row_title(row)
        rows.append((name, row.precision, _size(row), *_stream(row.stream), _throughput(row), memory))
    return BenchTable("Whole answers, one after the other", columns, tuple(rows))


def _size(row: BenchRow) -> str:
    """``1.23 MB``; of source text what it stores stands below."""
    return (
        size(row.size_bytes) if row.stored_bytes is None else f"{size(row.size_bytes)}\n{size(row.stored_bytes)} stored"
    )


def _stream(stream: Stream | None) -> tuple[str, ...]:
    """p90 with its interval, p50 and the deadline."""
    if stream is None:
        return (MISSING,) * 3
    latency = stream.latency
    between = f"{milliseconds(stream.p90_low)} – {milliseconds(stream.p90_high)}"
    deadline = DEADLINES[stream.real_time] if stream.real_time else "not judged"
    p90 = f"{milliseconds(latency.p90)}\n{between}"
    return p90, milliseconds(latency.p50), deadline


def _throughput(row: BenchRow) -> str:
    """``12,345``, and its interval and the batch below it."""
    found = row.throughput
    if found is None:
        return MISSING
    return f"{found.value:,.0f}\n{found.low:,.0f} – {found.high:,.0f}, batches of {row.batch_rows}"


def _parts(rows: Sequence[BenchRow]) -> BenchTable:
    found = []
    for row in rows:
        if row.stream is not None:
            parts = row.stream.breakdown
            latency = row.stream.latency
            times = (parts.preprocessing, parts.inference, parts.postprocessing, latency.p99)
            found.append((row_title(row), *map(milliseconds, times), f"{latency.runs:,}"))
    columns = ("file", "preprocessing", "inference", "postprocessing", "p99 of the whole", "answers")
    return BenchTable("Medians of the parts of an answer", columns, tuple(found))


def _starts(rows: Sequence[BenchRow]) -> BenchTable:
    columns = ("file", "first answer after", "imports", "load", "first answer alone", "processes", "where")
    found = []
    for row in rows:
        if (start := row.cold_start) is not None:
            total = f"{milliseconds(start.total)}\n{milliseconds(start.low)} – {milliseconds(start.high)}"
            parts = map(milliseconds, (start.imports, start.load, start.first_answer))
            found.append((row_title(row), total, *parts, f"{start.n}", where(start.place)))
    return BenchTable("Cold start: a fresh process, its disk's cache warm", columns, tuple(found))


def _turns(result: BenchResult) -> BenchTable:
    found = []
    for row in result.rows:
        if (versus := row.versus) is not None:
            ratio = versus.ratio
            between = f"{ratio.value:.2f}\n{ratio.low:.2f} – {ratio.high:.2f}"
            found.append((row_title(row), between, f"{ratio.rounds}", where(versus.place), where(versus.against)))
    columns = ("file", "times as fast", "rounds", "where", "where the other")
    return BenchTable(f"In turn with {result.against}", columns, tuple(found))


def _boards(rows: Sequence[BenchRow]) -> BenchTable:
    """What a microcontroller has to have: a linked program's flash, RAM and instructions, or TFLite Micro's arena."""
    columns = ("file", "flash", "RAM", "of it stack", "instructions an answer", "arena", "where")
    found = []
    for row in rows:
        arena = MISSING if row.arena_bytes is None else size(row.arena_bytes)
        if (taken := row.footprint) is not None:
            sizes = map(size, (taken.flash_bytes, taken.ram_bytes, taken.stack_bytes))
            found.append((row_title(row), *sizes, f"{taken.instructions:,}", arena, taken.where))
        elif row.arena_bytes is not None:
            found.append((row_title(row), *[MISSING] * 4, arena, f"{row.runtime} on this machine"))
    return BenchTable("On a microcontroller", columns, tuple(found))


def _budget(result: BenchResult) -> BenchTable:
    rows = tuple(
        (
            row_title(row),
            check.quantity,
            quantity(check.limit, check.unit),
            quantity(check.value, check.unit),
            check.status,
            check.where or MISSING,
        )
        for row in result.rows
        if row.budget
        for check in row.budget.checks
    )
    return BenchTable(
        f"The limits of {result.profile}", ("file", "limit", "allowed", "found", "status", "measured on"), rows
    )


def _energy(result: BenchResult) -> BenchTable:
    known = [(row, row.energy) for row in _each_file(result.rows) if row.energy and row.energy.per_answer]
    duties = list(dict.fromkeys(one.duty.name for _, energy in known for one in energy.battery))
    columns = ("file", "energy of one answer", *(f"battery, {duty}" for duty in duties), "relative lower bound")
    found = []
    for row, energy in known:
        lives = {one.duty.name: one for one in energy.battery}
        bound = energy.lower_bound_mj
        last = f"{_millijoules(bound)}\nHorowitz, 45 nm" if bound is not None else MISSING
        found.append((row.file, joules(energy.per_answer), *(battery_life(lives.get(duty)) for duty in duties), last))
    return BenchTable(f"Energy on {result.profile}", columns, tuple(found))


def energy_notes(result: BenchResult) -> Iterator[str]:
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


def versions_line(result: BenchResult) -> str:
    """``onnxruntime 1.31.1, python 3.11.2``."""
    return ", ".join(f"{name} {version}" for name, version in sorted(result.versions.items()))


def where(place: Place) -> str:
    """``onnxruntime 1.31.1, 2 threads, AMD EPYC, 2 cores``: what ran a file."""
    runtime = [] if place.runtime in place.versions else [place.runtime]
    packages = [f"{name} {version}" for name, version in place.versions.items()]
    threads = [f"{place.threads} thread{'s' if place.threads > 1 else ''}"] if place.threads else []
    return ", ".join([*runtime, *packages, *threads, place.machine])


def _each_file(rows: Sequence[BenchRow]) -> list[BenchRow]:
    """One row of each file and each energy of it: an estimate does not depend on this machine's runtime and threads."""
    found: dict[tuple[str, str, str], BenchRow] = {}
    for row in rows:
        found.setdefault((row.file, row.sha256, joules(row.energy.per_answer) if row.energy else ""), row)
    return list(found.values())


def battery_life(life: BatteryLife | None) -> str:
    """``12 days``, and ``9 days – 40 days, estimated`` below it."""
    if life is None:
        return MISSING
    low, high = life.hours.low, life.hours.high
    return f"{_long(life.hours.value)}\n{_long(low)} – {_long(high)}, {ESTIMATED}"


def _long(hours: float) -> str:
    """``5.9 h``, ``12 days``."""
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"


def joules(found: Measurement | None) -> str:
    """``40 mJ``, and ``6.5 mJ – 41 mJ, estimated`` below it; or ``38 mJ`` and ``measured, n = 100``."""
    if found is None:
        return MISSING
    if found.place is not None and found.place.estimated:
        return f"{_millijoules(found.value)}\n{_millijoules(found.low)} – {_millijoules(found.high)}, {ESTIMATED}"
    return f"{_millijoules(found.value)}\nmeasured, n = {found.n:,}"


def _millijoules(value: float) -> str:
    return f"{value * 1000:.3g} µJ" if value < 1 else f"{value:.3g} mJ"
