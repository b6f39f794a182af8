"""``galenic tasks | models | methods | profiles | runtimes``: what there is, derived from the code's own lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.table import Table

from galenic.cli.screen import output


def tasks(
    source: Annotated[
        str | None, typer.Argument(help="Show the options of this source, such as npz or lesions.")
    ] = None,
) -> None:
    """List the sources of data that a recipe's task.source may name, or one source's options (task.options)."""
    from galenic.tasks.load import SOURCES
    from galenic.tasks.source import unknown_name

    if source is None:
        _show(("source", "what it is"), ((one.form, one.summary) for one in SOURCES))
        return
    found = next((one for one in SOURCES if one.prefix == source.partition(":")[0]), None)
    if found is None:
        raise unknown_name("task", source, tuple(one.prefix for one in SOURCES))
    _show(("option", "default", "what it is"), (tuple(map(str, row)) for row in found.option_table()))


def models() -> None:
    """List the models that reference.model and student.model may name."""
    from galenic.zoo.build import available_models

    rows = ((m.name, m.family, str(m.modality or "any"), m.summary) for m in available_models())
    file = ("file:PATH", "outside", "any", "a file that a runtime loads, as the reference or a teacher")
    _show(("model", "family", "data", "what it is"), [*rows, file])


def methods() -> None:
    """List the methods that a phase may name, with their options."""
    from galenic.compress.methods import METHODS
    from galenic.record.base import Record

    rows = []
    for method in METHODS:
        summary = (method.__doc__ or "").strip().splitlines()[0]
        fields = method.model_fields if issubclass(method, Record) else {}
        options = ", ".join(f"{name} = {_default(field)}" for name, field in fields.items())
        rows.append((method.name, summary, options or "none"))
    _show(("method", "what it does", "options"), rows)


def profiles() -> None:
    """List the device profiles with their limits."""
    from galenic.gating.profiles import all_profiles

    def limit(value: float | None, unit: str) -> str:
        return "-" if value is None else f"{value:g} {unit}"

    rows = (
        (
            p.name,
            limit(p.size_bytes / 1e6 if p.size_bytes else None, "MB"),
            limit(p.p90_ms, "ms"),
            limit(p.memory_mb, "MB"),
            p.summary,
        )
        for p in all_profiles()
    )
    _show(("profile", "size", "p90", "memory", "what it is"), rows)


def runtimes() -> None:
    """List the runtimes and whether they are installed here."""
    from galenic.runtimes.load import RUNTIMES

    rows = ((r.name, "yes" if r.available else f"no: {r.install}", r.summary) for r in RUNTIMES)
    _show(("runtime", "installed", "what it is"), rows)


COMMANDS: dict[str, Callable[..., None]] = {
    "tasks": tasks,
    "models": models,
    "methods": methods,
    "profiles": profiles,
    "runtimes": runtimes,
}


def _default(field: FieldInfo) -> str:
    """An option's default as a recipe writes it."""
    if field.is_required():
        return "(required)"
    if isinstance(field.default, BaseModel):
        return "{}"
    if isinstance(field.default, float):
        return f"{field.default:g}"
    return {"()": "[]", "True": "true", "False": "false", "None": "(none)"}.get(str(field.default), str(field.default))


def _show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    output.print(table)
