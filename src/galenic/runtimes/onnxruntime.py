"""ONNX Runtime: provider and threads as asked for, no fallback to another provider, and nothing read but the one file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes import check
from galenic.runtimes.batches import in_batches
from galenic.runtimes.onnx_wire import refuse_external_data
from galenic.runtimes.place import machine_name
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
        logits: np.ndarray = self._session.run([self._output], {self._input: inputs})[0]
        return logits


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU) -> OnnxSession:
    """Load an ONNX file with ``threads`` threads, on the processor or all of it on the device that is named.

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
    session = _open(artifact, data, threads, provider)
    entry, answer = _ends(artifact, session)
    batch = entry.shape[0] if isinstance(entry.shape[0], int) else None
    place = Place(machine=machine_name(), runtime=NAME, versions={NAME: version(NAME)}, threads=threads, device=device)
    return OnnxSession(artifact, place, batch, session, entry.name, answer.name)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".onnx",),
    package="onnxruntime",
    install="pip install 'galenic[onnxruntime]'",
    summary="ONNX Runtime, float32, float16 and INT8 (QDQ); on the processor, or another provider that its package has",
    load=load,
)


def _provider(device: str) -> str:
    """ONNX Runtime's name of a device; InputError where the installed package does not have it."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    gpus = [one for one in GPUS if one in available]
    named = {check.CPU: PROVIDER} | dict(zip((check.GPU,), gpus, strict=False))
    check.check_device(device, READER, (*named, *available))
    return named.get(device, device)


def _open(artifact: Artifact, data: bytes, threads: int, provider: str) -> Any:
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
    if provider != PROVIDER:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=[provider])
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
