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


def command(store: StoreOption = DEFAULT_STORE) -> None:
    """Check packages, runtimes, the store's disk and the processor; exit code 2 where something is missing."""
    from galenic.runtimes.load import RUNTIMES
    from galenic.runtimes.place import machine_name

    findings = [(True, "machine", f"{machine_name()}, Python {platform.python_version()}")]
    findings += [_package(name, extra) for extra, names in NEEDED.items() for name in names]
    findings += [(r.available, f"runtime {r.name}", "installed" if r.available else r.install) for r in RUNTIMES]
    findings.append(_store(store))
    for good, what, words in findings:
        output.print(
            f"[{'green' if good else 'red'}]{'ok     ' if good else 'missing'}[/]  {what:<24} {escape(words)}",
            highlight=False,
        )
    if not all(good for good, _, _ in findings):
        raise typer.Exit(ExitCode.USAGE)


def _package(name: str, extra: str) -> tuple[bool, str, str]:
    try:
        return True, name, metadata.version(name)
    except metadata.PackageNotFoundError:
        return False, name, f"pip install '{extra}'"


def _store(folder: Path) -> tuple[bool, str, str]:
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    try:
        with tempfile.NamedTemporaryFile(dir=existing) as file:
            os.fsync(file.fileno())
    except OSError as error:
        return False, "store", f"{folder} cannot be written ({error.strerror}): choose another with --store"
    return free_gb >= LEAST_FREE_GB, "store", f"{folder}, {free_gb:.0f} GB free (at least {LEAST_FREE_GB:g} wanted)"
