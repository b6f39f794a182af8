"""``galenic doctor``: is everything here that a run needs?"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import typer
from rich.markup import escape

from galenic.cli.options import DEFAULT_STORE, StoreOption
from galenic.cli.screen import output
from galenic.record.errors import ExitCode, MissingPackage

NAME = "doctor"

BASE = ("numpy", "pydantic", "typer", "rich", "pillow", "psutil")
FORGE = (
    "torch",
    "accelerate",
    "monai",
    "safetensors",
    "scipy",
    "scikit-learn",
    "onnx",
    "onnxscript",
    "plotly",
    "jinja2",
)
NEEDED = {"galenic": BASE, "galenic[forge]": FORGE}
LEAST_FREE_GB = 2.0
GOOD, MISSING, OPTIONAL = "ok", "missing", "optional"
COLOURS = {GOOD: "green", MISSING: "red", OPTIONAL: "yellow"}
Finding = tuple[str, str, str]
"""How it is, what, and what is said of it."""


def command(store: StoreOption = DEFAULT_STORE) -> None:
    """Check packages, runtimes, the store's disk and the processor; exit code 2 where something that is needed is missing.

    One runtime that devices have is needed; each further one that is not here is shown with the command that installs it, and so is
    what writes files for a runtime or plays a microcontroller.
    """
    from galenic.runtimes.load import RUNTIMES
    from galenic.runtimes.place import machine_name

    packages = [_package(name, extra) for extra, names in NEEDED.items() for name in names]
    findings = [(GOOD, "machine", f"{machine_name()}, Python {platform.python_version()}"), *packages]
    absent = OPTIONAL if any(runtime.available and not runtime.caveat for runtime in RUNTIMES) else MISSING
    findings += [(GOOD if one.available else absent, f"runtime {one.name}", one.state) for one in RUNTIMES]
    if all(state == GOOD for state, _, _ in packages):  # exporters are nothing without torch
        findings += _converters()
    findings.append(_boards())
    findings.append(_store(store))
    for state, what, words in findings:
        output.print(f"[{COLOURS[state]}]{state:<8}[/]  {what:<24} {escape(words)}", highlight=False, soft_wrap=True)
    if any(state == MISSING for state, _, _ in findings):
        raise typer.Exit(ExitCode.USAGE)


def _package(name: str, extra: str) -> Finding:
    try:
        return GOOD, name, metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING, name, f"pip install '{extra}'"


def _converters() -> Iterator[Finding]:
    """One for each runtime that no file can be written for here, although what compresses is installed."""
    from galenic.exporters.load import EXPORTERS

    for exporter in EXPORTERS:
        try:
            exporter.require()
        except MissingPackage as error:
            yield OPTIONAL, f"export {exporter.runtime}", f"not without {error.expected}; {error.todo}"


def _boards() -> Finding:
    from galenic.runtimes import c_cortex_m

    what = " and ".join(c_cortex_m.BOARDS)
    try:
        c_cortex_m.require()
    except MissingPackage as error:
        return OPTIONAL, what, f"not without {error.expected}; {error.todo}"
    return GOOD, what, f"{c_cortex_m.COMPILER} and {c_cortex_m.MACHINE} are installed"


def _store(folder: Path) -> Finding:
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    try:
        with tempfile.NamedTemporaryFile(dir=existing) as file:
            os.fsync(file.fileno())
    except OSError as error:
        return MISSING, "store", f"{folder} cannot be written ({error.strerror}): choose another with --store"
    state = GOOD if free_gb >= LEAST_FREE_GB else MISSING
    return state, "store", f"{folder}, {free_gb:.0f} GB free (at least {LEAST_FREE_GB:g} wanted)"
