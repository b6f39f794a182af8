"""ONNX Runtime: provider and threads as asked for, no fallback to another provider, and nothing read but the one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.bench import OpTimes
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes import check
from galenic.runtimes.batches import in_batches
from galenic.runtimes.onnx_wire import refuse_external_data
from galenic.runtimes.onnxruntime_trace import read_trace
from galenic.runtimes.place import machine_name
from galenic.runtimes.profiled import WARMUP
from galenic.runtimes.runtime import Runtime

NAME = "onnxruntime"
READER = "ONNX Runtime"
PROVIDER = "CPUExecutionProvider"
GPUS = (
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "MIGraphXExecutionProvider",
    "DmlExecutionProvider",
    "WebGpuExecutionProvider",
)
"""What ``gpu`` means: the first of them that the installed package has."""
FLOAT = np.dtype(np.float32)
TENSOR_TYPES = {FLOAT: "tensor(float)", np.dtype(np.int64): "tensor(int64)"}
FATAL_ONLY = 4  # what goes wrong is raised as an error of ours, so nothing is logged besides


@dataclass(frozen=True)
class OnnxSession:
    """A Session of ONNX Runtime.

    Attributes:
        artifact: the file.
        place: this machine, the threads, the version.
        batch: the batch size that the file is fixed to, None where it takes any.
    """

    artifact: Artifact
    place: Place
    batch: int | None
    _session: Any
    _input: str
    _output: str

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 (int64 for text) in, (batch, classes) float32 logits out."""
        check.check_inputs(self.artifact, inputs)
        logits = self._answer(inputs) if self.batch is None else in_batches(self._answer, inputs, self.batch)
        check.check_logits(self.artifact, logits, len(inputs))
        return logits

    def _answer(self, inputs: np.ndarray) -> np.ndarray:
        try:
            logits: np.ndarray = self._session.run([self._output], {self._input: inputs})[0]
        except Exception as error:  # its errors share no base class but Exception
            raise check.damaged(self.artifact, READER, error) from error
        return logits


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU, trace: str = "") -> OnnxSession:
    """Load an ONNX file with ``threads`` threads, on the processor or all of it on the device that is named.

    ``trace`` is where the names of files of ONNX Runtime's profiler begin; nothing is profiled where it is empty.

    Raises:
        InputError: the installed package has no such provider.
        MissingPackage: onnxruntime is not installed.
        ModelError: the file is missing, changed, damaged, not whole, or has other inputs or outputs than it should.
    """
    RUNTIME.require()
    check.check_threads(threads)
    provider = _provider(device)
    data = check.verified_bytes(artifact)
    refuse_external_data(artifact, data, READER)
    place = Place(machine=machine_name(), runtime=NAME, versions={NAME: version(NAME)}, threads=threads, device=device)
    return session_of(artifact, opened(artifact, data, threads, provider, trace=trace), place)


def op_times(artifact: Artifact, inputs: np.ndarray, *, threads: int, device: str, runs: int) -> OpTimes:
    """The time of every operation over ``runs`` rows of ``inputs``, by ONNX Runtime's own profiler."""
    with TemporaryDirectory() as folder:
        return traced(load(artifact, threads=threads, device=device, trace=f"{folder}/ops"), inputs, runs)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".onnx",),
    package="onnxruntime",
    install="pip install 'galenic[onnxruntime]'",
    summary="ONNX Runtime, float32, float16 and INT8 (QDQ); on the processor, or another provider that its package has",
    load=load,
    op_times=op_times,
)


def session_of(artifact: Artifact, session: Any, place: Place) -> OnnxSession:
    """A Session from what ``opened`` gives; ModelError where its inputs or outputs are not those of the artifact."""
    try:
        entry, answer = _ends(artifact, session)
    except UnicodeDecodeError as error:  # a name in a damaged file
        raise check.damaged(artifact, READER, error) from error
    batch = entry.shape[0] if isinstance(entry.shape[0], int) else None
    return OnnxSession(artifact, place, batch, session, entry.name, answer.name)


def traced(session: OnnxSession, inputs: np.ndarray, runs: int) -> OpTimes:
    """The mean time of every operation over ``runs`` rows of ``inputs``, from a session that was opened with a ``trace``."""
    for turn in range(WARMUP + runs):
        row = turn % len(inputs)
        session.run(inputs[row : row + 1])
    written = Path(session._session.end_profiling())
    return read_trace(json.loads(written.read_text(encoding="utf-8")), WARMUP)


def _provider(device: str) -> str:
    """ONNX Runtime's name of a device; InputError where the installed package does not have it."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    gpus = [one for one in GPUS if one in available]
    named = {check.CPU: PROVIDER} | dict(zip((check.GPU,), gpus, strict=False))
    check.check_device(device, READER, (*named, *available))
    return named.get(device, device)


def opened(
    artifact: Artifact,
    data: bytes,
    threads: int,
    provider: str,
    *,
    trace: str = "",
    entries: Mapping[str, str] = MappingProxyType({}),
    settings: Mapping[str, str] = MappingProxyType({}),
    as_it_is: bool = False,
) -> Any:
    """An ``onnxruntime.InferenceSession`` that falls back to nothing.

    Args:
        artifact: what ``data`` is the file of.
        data: its bytes.
        threads: of the processor.
        provider: that computes all of it.
        trace: where the names of its profiler's files begin; empty for none.
        entries: more of ONNX Runtime's session config entries.
        settings: the provider's own options.
        as_it_is: the provider sees the file's own graph, which ONNX Runtime does not optimise before.

    Raises:
        ModelError: ONNX Runtime cannot load the file, or ran it on another provider.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL_ONLY
    # Threads that spin between two answers take power and the other core's time for nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if artifact.quant is not None and artifact.quant.stays_float:
        # Else ONNX Runtime quantizes, on its own, a float layer's weights where Q and DQ stand around it.
        options.add_session_config_entry("optimization.disable_specified_optimizers", "WeightBiasQuantization")
    if as_it_is:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if trace:
        options.enable_profiling, options.profile_file_prefix = True, trace
    if provider != PROVIDER:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    chosen = (provider, dict(settings)) if settings else provider
    try:
        session = onnxruntime.InferenceSession(data, options, providers=[chosen])
    except Exception as error:  # its errors share no base class but Exception
        raise check.damaged(artifact, READER, error) from error
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise ModelError(
            given=f"ONNX Runtime runs {artifact.path} on {', '.join(session.get_providers())}",
            expected=f"{provider}, which was asked for",
            todo="install the onnxruntime package for that device again",
        )
    return session


def _ends(artifact: Artifact, session: Any) -> tuple[Any, Any]:
    """The one input and the first output, checked."""
    entries, answers = session.get_inputs(), session.get_outputs()
    wanted = artifact.preprocessing.input_type
    if [end.type for end in entries] != [TENSOR_TYPES[wanted]] or answers[0].type != TENSOR_TYPES[FLOAT]:
        found = ", ".join(f"{end.name} {end.type}" for end in (*entries, *answers))
        raise ModelError(
            given=f"{artifact.path} has the inputs and outputs {found}",
            expected=f"one {wanted} input, and float32 logits as the first output",
            todo=f"export it with {wanted} inputs and float32 outputs",
        )
    check.check_input_shape(artifact, entries[0].shape)
    check.check_output_shape(artifact, answers[0].shape)
    return entries[0], answers[0]
