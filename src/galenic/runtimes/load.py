"""Every runtime, and a Session from any of their files."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError, RecipeError
from galenic.record.preprocessing import Preprocessing
from galenic.record.session import Session
from galenic.runtimes import (
    c,
    coreml,
    executorch,
    litert,
    onnxruntime,
    onnxruntime_mobile,
    openvino,
    tensorrt,
    tflite_micro,
    torch_mobile,
)
from galenic.runtimes.card import check_card
from galenic.runtimes.check import refuse_probabilities
from galenic.runtimes.runtime import Runtime
from galenic.runtimes.trial import try_in_child

RUNTIMES: tuple[Runtime, ...] = (
    onnxruntime.RUNTIME,
    openvino.RUNTIME,
    litert.RUNTIME,
    executorch.RUNTIME,
    onnxruntime_mobile.RUNTIME,
    torch_mobile.RUNTIME,
    tensorrt.RUNTIME,
    coreml.RUNTIME,
    tflite_micro.RUNTIME,
    c.RUNTIME,
)
"""The first one that loads a suffix loads outside files with it."""


def runtime_named(name: str) -> Runtime:
    """The runtime of that name, installed or not; RecipeError with the nearest name where there is none."""
    names = [runtime.name for runtime in RUNTIMES]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise RecipeError(
            given=f"the runtime '{name}'",
            expected=f"one of {', '.join(names)}",
            todo=f"did you mean '{near[0]}'?" if near else "`galenic runtimes` describes them",
        )
    return RUNTIMES[names.index(name)]


def require_runtime(name: str) -> Runtime:
    """The runtime of that name; MissingPackage with the command that installs it where it is not here."""
    runtime = runtime_named(name)
    runtime.require()
    return runtime


def open_session(artifact: Artifact, threads: int = 1, device: str | None = None) -> Session:
    """Load ``artifact`` in the runtime that it is for, with that many threads.

    Args:
        artifact: the file.
        threads: of the processor.
        device: ``cpu``, ``gpu``, or the runtime's own name of one (``CUDAExecutionProvider``, ``GPU.1``); None for what the
            runtime is for, which is the processor of all but TensorRT.

    Raises:
        MissingPackage: that runtime is not installed.
        InputError: the runtime has no such device here; nothing falls back to another one.
        ModelError: the file is missing, changed, damaged, or has other inputs or outputs than it should.
    """
    runtime = require_runtime(artifact.runtime)
    return runtime.load(artifact, threads=threads, device=device or runtime.device)


def artifact_of_file(path: Path, preprocessing: Preprocessing, classes: tuple[str, ...]) -> Artifact:
    """An outside file as an Artifact: the runtime follows from the suffix, inputs and outputs are checked.

    It is opened in a child process first: a hostile one may crash its parser, or never end.
    The file has to take what ``preprocessing`` gives and to answer one logit (not a probability) per class. Where it says inside
    what its inputs and classes are (``galenic.runtimes.card``), these have to be the task's, and the Artifact has the file's own.

    Raises:
        ModelError: no runtime loads such a file, it crashes the runtime, or its inputs or outputs are not those of the task.
        MissingPackage: the runtime is not installed.
    """
    runtime = next((runtime for runtime in RUNTIMES if path.suffix in runtime.suffixes), None)
    if runtime is None:
        known = ", ".join(dict.fromkeys(suffix for runtime in RUNTIMES for suffix in runtime.suffixes))
        raise ModelError(
            given=f"{path}, a file that no runtime of galenic loads; it was not opened",
            expected=f"one of {known}",
            todo="export the model to such a file first, or name an architecture and its weights instead",
        )
    if not path.is_file():
        raise ModelError(f"{path}, which is not a file", "a model file", "check the path after file:")
    artifact = Artifact(
        path=path,
        runtime=runtime.name,
        precision="as given",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size_bytes=path.stat().st_size,
        lineage=(f"file:{path.name}",),
        preprocessing=preprocessing,
        classes=classes,
    )
    try_in_child(artifact)
    session = open_session(artifact)
    card = check_card(path, preprocessing, classes)
    refuse_probabilities(session)
    return artifact if card is None else artifact.model_copy(update=dict(card))
