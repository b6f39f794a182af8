"""ONNX Runtime reading its own format (.ort), as on phones; the file runs as it is, no optimisation is left to the session.

ONNX Runtime checks every offset of such a file before it follows one: of 22,000 files with flipped bits, other numbers or a cut end
none crashed it. What a damaged file then computes can be too large for the machine's memory, as it can be with an ONNX file.
Saved optimisations (the runtime style) are not replayed.
"""

from __future__ import annotations

from importlib.metadata import version
from tempfile import TemporaryDirectory

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.bench import OpTimes
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes import check, onnxruntime
from galenic.runtimes.flatbuffer import root_table
from galenic.runtimes.onnxruntime import PROVIDER, READER, OnnxSession
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime

NAME = "onnxruntime-mobile"
IDENTIFIER, VERSION_FIELD = b"ORTM", 0
VERSIONS = ("5", "6")
"""Of the format, that ONNX Runtime 1.31 reads without limits."""
FORMAT = {"session.load_model_format": "ORT"}


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU, trace: str = "") -> OnnxSession:
    """Load an .ort file with ``threads`` threads of the processor.

    ``trace`` is where the names of files of ONNX Runtime's profiler begin; nothing is profiled where it is empty.

    Raises:
        InputError: another device than the processor: on an .ort file ONNX Runtime falls back from others without a word.
        MissingPackage: onnxruntime is not installed.
        ModelError: the file is missing, changed, damaged, of another version, or has other inputs or outputs than it should.
    """
    RUNTIME.require()
    check.check_threads(threads)
    check.check_device(device, READER, (check.CPU, PROVIDER))
    data = check.verified_bytes(artifact)
    refuse_other_versions(artifact, data)
    versions = {onnxruntime.NAME: version(onnxruntime.NAME)}
    place = Place(machine=machine_name(), runtime=NAME, versions=versions, threads=threads, device=device)
    session = onnxruntime.opened(artifact, data, threads, PROVIDER, trace=trace, entries=FORMAT)
    return onnxruntime.session_of(artifact, session, place)


def op_times(artifact: Artifact, inputs: np.ndarray, *, threads: int, device: str, runs: int) -> OpTimes:
    """The time of every operation over ``runs`` rows of ``inputs``, by ONNX Runtime's own profiler."""
    with TemporaryDirectory() as folder:
        session = load(artifact, threads=threads, device=device, trace=f"{folder}/ops")
        return onnxruntime.traced(session, inputs, runs)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".ort",),
    package="onnxruntime",
    install="pip install 'galenic[onnxruntime]'",
    summary="ONNX Runtime reading its own format, as on phones; float32, INT8, and integer weights of dense layers",
    load=load,
    op_times=op_times,
)


def refuse_other_versions(artifact: Artifact, data: bytes) -> None:
    """ModelError where the bytes are no .ort file, or one of a version that ONNX Runtime here does not read."""
    try:
        found = bytes(root_table(data, IDENTIFIER).octets(VERSION_FIELD)).decode(errors="replace")
    except ValueError as error:
        raise check.damaged(artifact, READER, error) from error
    if found not in VERSIONS:
        raise ModelError(
            given=f"{artifact.path}, an .ort file of version {found[:20] or 'unknown'} of its format",
            expected=f"version {' or '.join(VERSIONS)}",
            todo="export the model again",
        )
