"""Environments of their own, for runtimes whose packages take another one's place: a file runs there in a process of its own.

    folder      $XDG_CACHE_HOME/galenic/envs/NAME, or ~/.cache/galenic/envs/NAME
    made by     the one command that is printed wherever such a runtime is missing
Nothing is installed unasked, and no other folder is looked into.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes.frames import LOAD, READY, START
from galenic.runtimes.worker import Worker
from galenic.runtimes.worker_session import FloatWorkerSession

WORKER = "galenic.runtimes.environment_worker"
MOST_START_S, MOST_LOAD_S = 300.0, 1800.0
"""Seconds for the worker's imports, and for a file: building an engine takes minutes."""


def folder_of(name: str) -> Path:
    """Where the environment of a runtime lies, made or not."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "galenic" / "envs" / name


def python_of(name: str) -> Path | None:
    """The interpreter of a runtime's environment, None where there is no environment."""
    python = folder_of(name) / "bin" / "python"
    return python if os.access(python, os.X_OK) else None


def command(name: str) -> str:
    """The one command that makes the environment of a runtime."""
    path = folder_of(name)
    # Below the home folder it is the right command on another machine too.
    at_home = path.is_relative_to(Path.home())
    folder = f"~/{shlex.quote(str(path.relative_to(Path.home())))}" if at_home else shlex.quote(str(path))
    return f"python -m venv {folder} && {folder}/bin/pip install 'galenic[{name}]'"


def opened(python: Path, artifact: Artifact, threads: int, device: str) -> FloatWorkerSession:
    """A Session of a file in a process of another environment's interpreter.

    Raises:
        ModelError: the environment has no such runtime, or it does not load the file.
    """
    name = artifact.runtime
    worker = Worker(WORKER, f"{artifact.path} in the environment of {name}", python)
    order = {"artifact": artifact.model_dump(mode="json"), "threads": threads, "device": device}
    try:
        started = _asked(worker, artifact, START, name.encode(), MOST_START_S)
        loaded = _asked(worker, artifact, LOAD, json.dumps(order).encode(), MOST_LOAD_S)
    except BaseException:
        worker.close()
        raise
    resident_mb = float(json.loads(started)["resident_mb"])
    return FloatWorkerSession(artifact, Place.model_validate_json(loaded), resident_mb, worker, name)


def _asked(worker: Worker, artifact: Artifact, kind: bytes, payload: bytes, within_s: float) -> bytes:
    said, answer = worker.ask(kind, payload, within_s=within_s)
    if said != READY:
        raise ModelError(
            given=f"{artifact.path}, which is refused in the environment {folder_of(artifact.runtime)}: "
            f"{answer.decode(errors='replace')}",
            expected=f"a file that {artifact.runtime} loads, and an environment that has it",
            todo=f"make the file again, or remove the environment and run: {command(artifact.runtime)}",
        )
    return bytes(answer)
