"""``galenic export RECIPE``: the model as files for the runtimes that are named, or as a page that classifies pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from galenic.cli.options import DEFAULT_STORE, StoreOption, store_at
from galenic.cli.screen import Bars, errors, output
from galenic.record.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from galenic.record.export import ExportResult
    from galenic.record.report import Parity
    from galenic.record.web import WebBuild

NAME = "export"
SMALL_SHARE = 1e-3


def command(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe in TOML, or a report.json, whose recipe runs again.")
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option("--runtime", help="A file for this runtime; can be given several times. [default: the recipe's]"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--output", help="Where the files go. [default: a run's folder in the store]")
    ] = None,
    web: Annotated[
        Path | None, typer.Option("--web", help="Write a static page into this folder that classifies pictures.")
    ] = None,
    web_runtime: Annotated[
        str, typer.Option("--web-runtime", help="auto takes the faster one as timed in Chromium; litert, onnxruntime.")
    ] = "auto",
    web_setup: Annotated[
        bool, typer.Option("--web-setup", help="Fetch the page's runtimes from npm by lock file; uses the network.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write the last model of a recipe as files: each with its card, its size and its parity. The test set is not read."""
    if recipe is None and not web_setup:
        raise InputError(
            given="no recipe", expected="a recipe in TOML or a report.json", todo="write: galenic export RECIPE"
        )
    if web_setup:
        _set_up()
    if recipe is not None:
        _export(recipe, runtime or (), folder, web, web_runtime, store)


def _set_up() -> None:
    from galenic.pipeline.web_cache import setup_web

    with Bars() as progress:
        packages = setup_web(progress)
    output.print(f"runtimes  {packages}", soft_wrap=True, markup=False)


def _export(
    recipe: Path, runtimes: Sequence[str], folder: Path | None, web: Path | None, web_runtime: str, store: Path
) -> None:
    from galenic.pipeline import export as exporting
    from galenic.pipeline.web import WebWish

    with Bars() as progress:
        wish = WebWish(web, web_runtime) if web is not None else None
        given = exporting.load_exportable(recipe)
        made = exporting.export(given, store_at(store), runtimes, folder, wish, progress)
    _show_files(made.result)
    if made.result.files:
        output.print(f"files  {made.folder / 'files'}", soft_wrap=True, markup=False)
    if made.result.page is not None and web is not None:
        _show_page(made.result.page, web)
    for failed in made.result.failed:
        errors.print(Text(f"✗ {failed.what} was not made: {failed.given}; expected {failed.expected}; {failed.todo}"))
    if made.result.failed:
        raise typer.Exit(made.exit_code)


def _show_files(result: ExportResult) -> None:
    from galenic.reporting.numbers import MISSING, size
    from galenic.reporting.words import integer_layers

    output.print(Text(f"{result.title}, on {result.split}; the test set was not read."))
    if result.files:
        table = _table(
            "runtime", "precision", "size", "made in", "integers", "differs by", "on average", "same class", "n"
        )
        for file in result.files:
            seconds = MISSING if file.seconds is None else f"{file.seconds:.1f} s"
            cells = (file.runtime, file.precision, size(file.size_bytes), seconds, integer_layers(file.integer_ops))
            table.add_row(*map(Text, (*cells, *_parity_cells(file.parity))))
        output.print(table)
        against = dict.fromkeys(file.parity.against for file in result.files if file.parity is not None)
        if against:
            words = "Differences of logits, the largest and the mean one, over the largest logit"
            output.print(Text(f"• {words}: from {' or '.join(against)}."))
    caveats = [f"{file.runtime}: {file.caveat}" for file in result.files if file.caveat]
    floats = [
        f"{file.runtime} computes on floats: {', '.join(file.integer_ops.left_float)}"
        for file in result.files
        if file.integer_ops is not None and file.integer_ops.left_float
    ]
    for sentence in (*caveats, *floats, *result.notes):
        output.print(Text(f"• {sentence}"))


def _parity_cells(parity: Parity | None) -> tuple[str, ...]:
    """The differences, the agreement and the number of rows; a file that was not run has none of them."""
    if parity is None:
        return "not run", *[""] * 3
    shares = _share(parity.relative_difference), _share(parity.mean_difference)
    return *shares, f"{parity.agreement * 100:.1f} %", str(parity.n)


def _share(value: float | None) -> str:
    """A share of the largest logit: in percent, or in powers of ten where it is far below one."""
    from galenic.reporting.numbers import MISSING

    if value is None:
        return MISSING
    return f"{value * 100:.2f} %" if value >= SMALL_SHARE else f"{value:.0e}"


def _show_page(build: WebBuild, folder: Path) -> None:
    if build.timings:
        table = _table("in the browser", "p50", "p90", "differs by", "same class", "n")
        for one in build.timings:
            cells = (f"{one.p50_ms:.2f} ms", f"{one.p90_ms:.2f} ms", _share(one.relative_difference))
            table.add_row(*map(Text, (one.runtime, *cells, f"{one.agreement * 100:.1f} %", str(one.rows))))
        output.print(table)
        output.print(Text(f"• {build.timings[0].where}, one thread, inference alone"))
    output.print(Text(f"• {build.because}"))
    for name, why in build.left_out.items():
        output.print(Text(f"• {name} was left out: {why}"))
    output.print(f"page   {folder}", soft_wrap=True, markup=False)
    output.print(f"look   python -m http.server --directory {folder}", soft_wrap=True, markup=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table
