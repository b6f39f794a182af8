"""``galenic tasks | models | methods | profiles | runtimes``: what there is, derived from the code's own lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.table import Table

from galenic.cli.screen import output

if TYPE_CHECKING:
    from galenic.record.profile import Profile


NOT_SUPPORTED = (
    "Not supported: FPGAs. No exporter of galenic writes for one, and none of these runtimes computes on one."
)


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


def profiles(
    name: Annotated[
        str | None,
        typer.Argument(help="Show this profile (a name, or a TOML) with what one would do first, as part of a recipe."),
    ] = None,
) -> None:
    """List the device profiles with their limits, or show one with its presets."""
    from galenic.gating.profiles import all_profiles, load_profile

    if name is not None:
        _show_profile(load_profile(name))
        return

    def limit(value: float | None, unit: str) -> str:
        return "-" if value is None else f"{value:g} {unit}"

    rows = (
        (
            p.name,
            limit(p.size_bytes / 1e6 if p.size_bytes else None, "MB"),
            limit(p.p90_ms, "ms"),
            limit(p.memory_mb, "MB"),
            limit(p.flash_bytes / 1024 if p.flash_bytes else None, "KiB"),
            limit(p.ram_bytes / 1024 if p.ram_bytes else None, "KiB"),
            p.summary,
        )
        for p in all_profiles()
    )
    _show(("profile", "size", "p90", "memory", "flash", "RAM", "what it is"), rows)
    output.print("Precision, energy, runtimes and what one would do first: galenic profiles NAME", highlight=False)


def runtimes(
    delegates: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show what a phone's accelerators would refuse of this .tflite file."),
    ] = None,
) -> None:
    """List the runtimes and whether they can run here."""
    from galenic.runtimes.load import RUNTIMES

    if delegates is not None:
        _show_delegates(delegates)
        return
    _show(("runtime", "here", "what it is"), ((r.name, r.state, r.summary) for r in RUNTIMES))
    output.print(NOT_SUPPORTED, highlight=False, markup=False)


def _show_delegates(path: Path) -> None:
    """One row for each accelerator and reason; nothing was run on any of them."""
    from galenic.record.delegates import PLACE
    from galenic.runtimes.delegates import delegate_report

    rows = []
    for result in delegate_report(path):
        taken = f"{result.taken} of {result.total}" + (f" in {result.parts} parts" if result.parts > 1 else "")
        reasons: dict[tuple[str, str], list[str]] = {}
        for one in result.refused:
            reasons.setdefault((one.op, one.reason.partition(" (")[0]), []).append(one.tensor)
        refused = (
            f"{len(tensors)} {op}: {reason} ({tensors[0]}{' ...' if len(tensors) > 1 else ''})"
            for (op, reason), tensors in reasons.items()
        )
        rows.append((f"{result.delegate}: {result.title}", taken, "\n".join(refused) or "-"))
    _show(("accelerator", "takes", "refuses"), rows)
    output.print(f"Operations of {escape(str(path))}, {PLACE}.")


COMMANDS: dict[str, Callable[..., None]] = {
    "tasks": tasks,
    "models": models,
    "methods": methods,
    "profiles": profiles,
    "runtimes": runtimes,
}


def _show_profile(profile: Profile) -> None:
    """Every limit and number of a profile, then its presets as they are pasted into a recipe."""
    from galenic.gating.profiles import fragment

    values = profile.model_dump(
        exclude={"preset", "power", "runtimes", "precisions", "name", "summary"}, exclude_none=True
    )
    power = profile.power.model_dump(exclude_none=True) if profile.power else {}
    known = {
        **values,
        "precisions": ", ".join(profile.precisions) or "any",
        "runtimes": ", ".join(profile.runtimes) or "any",
        **{f"power.{key}": value for key, value in power.items()},
    }
    output.print(profile.summary, highlight=False, markup=False)
    _show(
        ("key", "value"),
        ((key, f"{value:,}" if isinstance(value, int) else str(value)) for key, value in known.items()),
    )
    for preset in profile.preset:
        typer.echo(f"\n# preset {preset.name}: {preset.summary}\n{fragment(profile, preset)}", nl=False)


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
