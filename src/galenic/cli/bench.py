"""``galenic bench FILE ...``: how fast files answer on this machine, and what they would take of a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galenic.cli.screen import errors, output
from galenic.record.bench import Mode
from galenic.record.errors import ExitCode

NAME = "bench"


def command(
    files: Annotated[list[Path], typer.Argument(help="Files that galenic exported, with their cards (FILE.json).")],
    runtime: Annotated[
        str, typer.Option("--runtime", help="Time each file in these runtimes: onnxruntime,openvino. Default: its own.")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="64 answers and 2 s instead of 1,024 and 60 s.")] = False,
    threads: Annotated[
        str | None, typer.Option("--threads", help="Numbers of threads, or all. Default: 1,all; with --quick 1.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, gpu, or a runtime's own name of one.")] = "cpu",
    against: Annotated[
        Path | None, typer.Option("--against", help="A file that each one is timed in turn with.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="A device's limits and energy: a name, or a TOML.")] = "",
    data: Annotated[str, typer.Option("--data", help="Rows from a task, such as npz:PATH. Default: drawn rows.")] = "",
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", help="A report.json: only files that its gate passed are named to ship."),
    ] = None,
    measured: Annotated[
        list[Path] | None, typer.Option("--measured", help="JSON with what was measured on the profile's device.")
    ] = None,
    events: Annotated[
        float, typer.Option("--events", help="Events an hour that ask for an answer, for battery life.")
    ] = 6.0,
    battery_wh: Annotated[float | None, typer.Option("--battery-wh", help="Instead of the profile's battery.")] = None,
    ops: Annotated[
        bool, typer.Option("--ops", help="Also the time of every operation, where the runtime tells it.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with a chart of where the time goes.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--output", help="Write everything as JSON.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of drawn rows.")] = 0,
) -> None:
    """Time files MLPerf-style on this machine and say which one to ship; estimate energy on a profile's device.

    Exit code 4 where a profile's limits can be judged here and no file keeps them.
    """
    from galenic.pipeline.bench import run_bench
    from galenic.pipeline.bench_order import BenchOrder, prepared
    from galenic.pipeline.shipping import fits
    from galenic.reporting.bench import print_bench
    from galenic.reporting.bench_page import render_bench
    from galenic.store.files import write_text

    order = BenchOrder(
        files=tuple(files),
        runtimes=_names(runtime),
        threads=None if threads is None else _names(threads),
        device=device,
        mode=Mode.QUICK if quick else Mode.FULL,
        against=against,
        profile=profile,
        data=data,
        reports=tuple(report or ()),
        measured=tuple(measured or ()),
        events_per_hour=events,
        battery_wh=battery_wh,
        ops=ops,
        seed=seed,
    )
    bench = prepared(order)
    result = run_bench(bench, _tell)
    if json is not None:
        write_text(json, result.model_dump_json(indent=2) + "\n")
    if html is not None:
        write_text(html, render_bench(result))
    print_bench(result, output)
    for path in (json, html):
        if path is not None:
            output.print(f"wrote  {path}", soft_wrap=True, markup=False)
    judged = [row for row in result.rows if row.budget is not None]
    if judged and not any(fits(row, bench.profile) for row in judged):
        raise typer.Exit(ExitCode.BUDGET)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _tell(work: str, done: int, total: int, note: str = "") -> None:
    """One line when a file's turn begins: a bar that moves would take time from what is timed."""
    del total, note
    if not done:
        errors.print(f"measuring {work}", highlight=False, markup=False, soft_wrap=True)
