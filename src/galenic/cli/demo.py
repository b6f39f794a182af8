"""``galenic demo``: the main job on the built-in, synthetic task."""

from __future__ import annotations

from typing import Annotated

import typer

from galenic.cli.compress import run
from galenic.cli.options import DEFAULT_STORE, StoreOption

NAME = "demo"


def command(
    store: StoreOption = DEFAULT_STORE,
    print_recipe: Annotated[
        bool, typer.Option("--print-recipe", help="Print the demo's recipe and do nothing.")
    ] = False,
) -> None:
    """Run the main job on synthetic skin lesions: a few minutes on two cores."""
    from galenic.pipeline.recipes import packaged_recipe, packaged_text

    if print_recipe:
        typer.echo(packaged_text("demo"))
        return
    run(packaged_recipe("demo"), store)
