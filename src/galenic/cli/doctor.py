"""``galenic doctor``: is everything here that a run needs?"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import typer
from rich.markup import escape

from galenic.cli.options import DEFAULT_STORE, StoreOption
from galenic.cli.screen import output
from galenic.record.errors import ExitCode

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


def command(store: StoreOption = DEFAULT_STORE) -> None:
    """Check packages, runtimes, the store's disk and the processor; exit code 2 where something that is needed is missing.

    One runtime that devices have is needed; each further one that is not here is shown with the command that installs it.
    """
    from galenic.runtimes.load import RUNTIMES
    from galenic.runtimes.place import machine_name

    findings = [(GOOD, "machine", f"{machine_name()}, Python {platform.python_version()}")]
    findings += [_package(name, extra) for extra, names in NEEDED.items() for name in names]
    absent = OPTIONAL if any(runtime.available and not runtime.caveat for runtime in RUNTIMES) else MISSING
    findings += [
        (GOOD if one.available else absent, f"runtime {one.name}", "installed" if one.available else one.install)
        for one in RUNTIMES
    ]
    findings.append(_store(store))
    for state, what, words in findings:
        output.print(f"[{COLOURS[state]}]{state:<8}[/]  {what:<24} {escape(words)}", highlight=False)
    if any(state == MISSING for state, _, _ in findings):
        raise typer.Exit(ExitCode.USAGE)


def _package(name: str, extra: str) -> tuple[str, str, str]:
    try:
        return GOOD, name, metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING, name, f"pip install '{extra}'"


def _store(folder: Path) -> tuple[str, str, str]:
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    try:
        with tempfile.NamedTemporaryFile(dir=existing) as file:
            os.fsync(file.fileno())
    except OSError as error:
        return MISSING, "store", f"{folder} cannot be written ({error.strerror}): choose another with --store"
    state = GOOD if free_gb >= LEAST_FREE_GB else MISSING
    return state, "store", f"{folder}, {free_gb:.0f} GB free (at least {LEAST_FREE_GB:g} wanted)"
