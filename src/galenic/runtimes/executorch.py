"""ExecuTorch on the processor (XNNPACK), in a worker process: its Python runtime needs torch, and a bad file crashes it.

The worker starts with the session, which takes some seconds, and ends with it. The way to it and back costs each ``run`` of
one row a little more time, which is not in ``inference_ns``.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes import check
from galenic.runtimes.frames import LOAD, READY, START
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime
from galenic.runtimes.worker import Worker
from galenic.runtimes.worker_session import FloatWorkerSession, first_line

NAME = "executorch"
READER = "ExecuTorch"
WORKER = "galenic.runtimes.executorch_worker"
MOST_START_S, MOST_LOAD_S = 300.0, 120.0
"""Seconds for the worker's imports, and for a file."""


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU) -> FloatWorkerSession:
    """Load a .pte file in a worker process with ``threads`` threads.

    Raises:
        InputError: another device than the processor.
        MissingPackage: executorch is not installed.
        ModelError: the file is missing, changed, damaged, crashes the worker, or has other inputs or outputs than it
            should; or ExecuTorch does not start.
    """
    RUNTIME.require()
    check.check_threads(threads)
    check.check_device(device, READER)
    if artifact.preprocessing.text is not None:
        raise ModelError(
            given=f"{artifact.path}, a text net for ExecuTorch",
            expected="a net for images, signals or tables: token ids are not supported in ExecuTorch yet",
            todo="export the text net for onnxruntime",
        )
    data = check.verified_bytes(artifact)
    worker = Worker(WORKER, f"{artifact.path} in ExecuTorch")
    try:
        baseline_mb = _start(worker, threads)
        _open(worker, artifact, data)
    except BaseException:
        worker.close()
        raise
    place = Place(machine=machine_name(), runtime=NAME, versions={NAME: version(NAME)}, threads=threads)
    return FloatWorkerSession(artifact, place, baseline_mb, worker, READER)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".pte",),
    package="executorch",
    install="pip install 'galenic[executorch]'",
    summary="ExecuTorch on the processor (XNNPACK), float32 or INT8, in a process of its own",
    load=load,
    no_op_times="ExecuTorch writes its operations' times into an ETDump, a format that galenic does not read",
)


def _start(worker: Worker, threads: int) -> float:
    """Start ExecuTorch in the worker; its resident memory then, 10^6 bytes."""
    kind, answer = worker.ask(START, str(threads).encode(), within_s=MOST_START_S)
    if kind != READY:
        raise ModelError(
            given=f"ExecuTorch, which does not start here ({first_line(answer)})",
            expected="the package executorch with the version of torch that it was built for",
            todo=f"install it again: {RUNTIME.install}",
        )
    facts = json.loads(answer)
    if facts["threads"] != threads:
        raise ModelError(
            given=f"{facts['threads']} threads of ExecuTorch",
            expected=f"{threads}, which were asked for",
            todo="ask for another number of threads",
        )
    return float(facts["resident_mb"])


def _open(worker: Worker, artifact: Artifact, data: bytes) -> None:
    """Load the file in the worker, and check its one input and its one output."""
    kind, answer = worker.ask(LOAD, data, within_s=MOST_LOAD_S)
    if kind != READY:
        raise ModelError(
            given=f"{artifact.path} is not a program that ExecuTorch can load ({first_line(answer)})",
            expected="a whole .pte file for XNNPACK",
            todo="copy or make the file again",
        )
    ends: dict[str, Any] = json.loads(answer)
    inputs, outputs, others = ends["inputs"], ends["outputs"], ends["not_float32"]
    if len(inputs) != 1 or len(outputs) != 1 or others:
        raise ModelError(
            given=f"{artifact.path} has {len(inputs)} inputs and {len(outputs)} outputs, not float32: {others or 'none'}",
            expected="one float32 input, and float32 logits as the one output",
            todo="export it with one float32 input and one float32 output",
        )
    check.check_input_shape(artifact, inputs[0])
    check.check_output_shape(artifact, outputs[0])
