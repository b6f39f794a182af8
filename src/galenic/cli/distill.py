"""``galenic distill RECIPE``: layers that fit, whether the teacher can be expected to help, or the distillation alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from galenic.cli.options import DEFAULT_STORE, StoreOption, store_at
from galenic.cli.screen import Bars, output
from galenic.record.errors import InputError

if TYPE_CHECKING:
    from galenic.pipeline.distillation import Suggestion
    from galenic.record.distillation import DistillationResult

NAME = "distill"


def command(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML, or a report.json, whose recipe runs again.")],
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Only propose pairs of layers of teacher and student.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Only tell whether the teacher can be expected to help.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run a recipe's distillation alone and compare on validation: no gate, and the test set is not read."""
    from galenic.pipeline import distillation
    from galenic.pipeline.recipes import load_recipe

    if suggest and probe:
        raise InputError(
            given="--suggest and --probe together", expected="one of them", todo="run the command once with each"
        )
    loaded = load_recipe(recipe)
    with Bars() as progress:
        if suggest:
            suggestions = distillation.suggest(loaded, store_at(store), progress)
        elif probe:
            found = distillation.probe_alone(loaded, store_at(store), progress)
        else:
            made = distillation.distill(loaded, store_at(store), progress)
    if suggest:
        for one in suggestions:
            _show_suggestion(one)
    elif probe:
        output.print(Text(found.sentence))
    else:
        _show_result(made.result)
        output.print(f"files  {made.folder / 'files'}", soft_wrap=True, markup=False)


def _show_suggestion(suggestion: Suggestion) -> None:
    output.print(Text(f"{suggestion.student} learns from {suggestion.teacher}", style="bold"))
    if not suggestion.pairs:
        output.print(Text("No pairs: the two nets have no stages of one kind. Use a method that compares answers."))
        return
    table = _table("student's layer", "shape", "teacher's layer", "shape", "adaptive transform")
    for pair in suggestion.pairs:
        needed = "needed" if pair.adaptive else "no"
        cells = (pair.student, str(pair.student_shape), pair.teacher, str(pair.teacher_shape), needed)
        table.add_row(*map(Text, cells))
    output.print(table)
    if suggestion.options:
        output.print(Text(f"\n{suggestion.options}\n"), soft_wrap=True)


def _show_result(result: DistillationResult) -> None:
    from galenic.reporting.numbers import MISSING, metric_label, metric_range, metric_value, size
    from galenic.reporting.words import gain

    shown = [name for name in ("auc", "balanced_accuracy", "accuracy") if all(name in f.metrics for f in result.files)]
    table = _table("file", "size", *map(metric_label, shown), "AUC above the student alone")
    for file in result.files:
        values = [(file.metrics[name], name) for name in shown]
        cells = [f"{metric_value(m.value, name)} ({metric_range(m.low, m.high, name)})" for m, name in values]
        above = gain(file.gain, "auc") if file.gain is not None else MISSING
        table.add_row(*map(Text, (file.title, size(file.size_bytes), *cells, above)))
    output.print(Text(f"On {result.split}, with 95 % intervals; the test set was not read."))
    output.print(table)
    for sentence in dict.fromkeys((result.probe.sentence if result.probe else "", result.sentence, *result.notes)):
        if sentence:
            output.print(Text(f"• {sentence}"))


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
