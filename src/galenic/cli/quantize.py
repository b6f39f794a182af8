"""``galenic quantize RECIPE``: the quantization alone beside its float file, or what is behind it layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from galenic.cli.options import DEFAULT_STORE, StoreOption, store_at
from galenic.cli.screen import Bars, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from galenic.record.quantization import Explanation, QuantizationResult, QuantizedFile

NAME = "quantize"
SHOWN = 8
"""Layers of an explanation on a terminal; its file has all of them."""


def command(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML, or a report.json, whose recipe runs again.")],
    explain: Annotated[
        bool, typer.Option("--explain", help="Also measure which layers hurt, and say what to try next.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run a recipe up to its quantization and compare with the float file on validation: the test set is not read."""
    from galenic.pipeline import explanation, quantization
    from galenic.pipeline.recipes import load_recipe

    loaded = load_recipe(recipe)
    with Bars() as progress:
        if explain:
            told = explanation.explain(loaded, store_at(store), progress)
            folder = told.folder
        else:
            made = quantization.quantize(loaded, store_at(store), progress)
            folder = made.folder
    if explain:
        _show_explanation(told.explanation)
    else:
        _show_result(made.result)
    output.print(f"files  {folder / 'files'}", soft_wrap=True, markup=False)


def _show_result(result: QuantizationResult) -> None:
    output.print(Text(f"On {result.split}, with 95 % intervals; the test set was not read."))
    _show_files(result.files)
    for sentence in (*result.sentences, *result.notes):
        output.print(Text(f"• {sentence}"))


def _show_explanation(found: Explanation) -> None:
    from galenic.reporting.layers import divergence, divergence_range, quantization_phrase

    whole = found.divergence
    _show_files((found.float_file, found.file))
    lost = f"{divergence(whole.value)} nats ({divergence_range(whole.low, whole.high)}), n = {whole.n:,}"
    output.print(Text(f"{found.method}: {quantization_phrase(found.rule)}. All of it together: {lost}."))
    if found.layers:
        table = _table("one layer alone, the worst first", "bits", "nats", "95 % interval")
        for one in found.layers[:SHOWN]:
            interval = divergence_range(one.low, one.high)
            table.add_row(*map(Text, (one.layer, str(one.weight_bits), divergence(one.value), interval)))
        output.print(table)
        if len(found.layers) > SHOWN:
            output.print(Text(f"and {len(found.layers) - SHOWN} more, in explanation.json"))
    for names, why in ((found.kept, "as asked for"), (found.refused, f"since {found.runtime} has no integers for it")):
        output.print(Text(f"float, {why}: {_some(names)}"))
    for sentence in (*found.sentences, *found.advice, *found.notes):
        output.print(Text(f"• {sentence}"))


def _show_files(files: Sequence[QuantizedFile]) -> None:
    from galenic.reporting.numbers import MISSING, metric_label, metric_range, metric_value, milliseconds, size
    from galenic.reporting.words import gain, integer_layers

    shown = [name for name in ("auc", "accuracy") if all(name in file.metrics for file in files)]
    columns = ("AUC beside float", "as simulated", "integer layers")
    table = _table("file", "size", "p50", *map(metric_label, shown), *columns)
    for file in files:
        values = [(file.metrics[name], name) for name in shown]
        cells = [f"{metric_value(m.value, name)} ({metric_range(m.low, m.high, name)})" for m, name in values]
        beside = gain(file.change, "auc") if file.change is not None else MISSING
        agreed = f"{file.agreement.agreement * 100:.1f} %" if file.agreement is not None else MISSING
        times = milliseconds(file.latency_ms.p50)
        integer = integer_layers(file.integer_ops)
        table.add_row(*map(Text, (file.title, size(file.size_bytes), times, *cells, beside, agreed, integer)))
    output.print(table)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}" if names else "none"


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
