"""PyTorch Mobile's lite interpreter, as the desktop build of torch has it, in a worker process: it is a part of torch.

It loads what galenic exported, which a hash is known of, and no other file: outside .ptl files are not opened (the runtime claims
no suffix), and neither is a .ptl in the form of a zip, which holds pickles.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes import check
from galenic.runtimes.flatbuffer import root_table
from galenic.runtimes.frames import LOAD, READY, START
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime
from galenic.runtimes.worker import Worker
from galenic.runtimes.worker_session import FloatWorkerSession

NAME = "torch-mobile"
READER = "PyTorch Mobile"
PACKAGE = "torch"
WORKER = "galenic.runtimes.torch_mobile_worker"
MOST_START_S, MOST_LOAD_S = 300.0, 120.0
"""Seconds for the worker's imports, and for a file with its first row."""
IDENTIFIER, ZIP = b"PTMF", b"PK\x03\x04"
FLOAT = "float32"


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU) -> FloatWorkerSession:
    """Load a .ptl file in a worker process with ``threads`` threads.

    Raises:
        InputError: another device than the processor.
        MissingPackage: torch is not installed.
        ModelError: the file is missing, changed, damaged, a zip, crashes the worker, or has other inputs or outputs than it
            should; or torch does not start.
    """
    RUNTIME.require()
    check.check_threads(threads)
    check.check_device(device, READER)
    data = check.verified_bytes(artifact)
    refuse_other_forms(artifact, data)
    worker = Worker(WORKER, f"{artifact.path} in {READER}")
    try:
        wanted = {"threads": threads, "row": list(artifact.preprocessing.input_shape)}
        started = _asked(artifact, worker, START, json.dumps(wanted).encode(), MOST_START_S)
        answer = _asked(artifact, worker, LOAD, data, MOST_LOAD_S)
        _check_answer(artifact, answer)
    except BaseException:
        worker.close()
        raise
    place = Place(machine=machine_name(), runtime=NAME, versions={PACKAGE: version(PACKAGE)}, threads=threads)
    return FloatWorkerSession(artifact, place, float(started["resident_mb"]), worker, READER)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(),
    package=PACKAGE,
    install="pip install 'galenic[forge]'",
    summary="PyTorch Mobile's lite interpreter (legacy), float32 and float16 weights, in a process of its own; for galenic's files",
    load=load,
    no_op_times="PyTorch's lite interpreter has a profiler in builds of its own alone",
)


def refuse_other_forms(artifact: Artifact, data: bytes) -> None:
    """ModelError where the bytes are no .ptl file, or one with pickles."""
    if data.startswith(ZIP):
        raise ModelError(
            given=f"{artifact.path}, a .ptl in the form of a zip, which holds pickles; it was not loaded",
            expected="one in the form of a FlatBuffer, which holds none",
            todo="export the model again with galenic",
        )
    try:
        root_table(data, IDENTIFIER)
    except ValueError as error:
        raise check.damaged(artifact, READER, error) from error


def _asked(artifact: Artifact, worker: Worker, kind: bytes, payload: bytes, within_s: float) -> dict[str, Any]:
    said, answer = worker.ask(kind, payload, within_s=within_s)
    if said != READY:
        raise check.damaged(artifact, READER, ValueError(answer.decode(errors="replace")))
    facts: dict[str, Any] = json.loads(answer)
    return facts


def _check_answer(artifact: Artifact, answer: dict[str, Any]) -> None:
    if answer["type"] != FLOAT:
        raise ModelError(
            given=f"{artifact.path} answers {answer['type']}",
            expected=f"{FLOAT} logits",
            todo="export the model again with galenic",
        )
    check.check_output_shape(artifact, answer["shape"])
