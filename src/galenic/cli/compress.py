"""``galenic compress RECIPE``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galenic.cli.options import DEFAULT_STORE, StoreOption, store_at
from galenic.cli.screen import Bars, output
from galenic.record.recipe import Recipe

NAME = "compress"


def command(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML, or a report.json, whose recipe runs again.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run a recipe: task + reference + profile + gate -> a verified file and its report."""
    from galenic.pipeline.recipes import load_recipe

    run(load_recipe(recipe), store)


def run(recipe: Recipe, store: Path) -> None:
    """Run a recipe with progress bars, show the summary and leave with the verdict's exit code."""
    from galenic.pipeline.run import compress
    from galenic.reporting.terminal import print_summary

    with Bars() as progress:
        outcome = compress(recipe, store_at(store), progress)
    print_summary(outcome.report, output)
    output.print(f"report  {outcome.folder / 'report.html'}", soft_wrap=True, markup=False)
    raise typer.Exit(outcome.exit_code)
