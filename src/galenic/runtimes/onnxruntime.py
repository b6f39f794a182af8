"""ONNX Runtime on the processor: provider and threads as asked for, and nothing read but the one file."""

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


def load(artifact: Artifact, *, threads: int = 1) -> OnnxSession:
    """Load an ONNX file on the processor with ``threads`` threads.

    Raises:
        MissingPackage: onnxruntime is not installed.
        ModelError: the file is missing, changed, damaged, not whole, or has other inputs or outputs than it should.
    """
    RUNTIME.require()
    check.check_threads(threads)
    data = check.verified_bytes(artifact)
    refuse_external_data(artifact, data, READER)
    session = _open(artifact, data, threads)
    entry, answer = _ends(artifact, session)
    batch = entry.shape[0] if isinstance(entry.shape[0], int) else None
    place = Place(machine=machine_name(), runtime=NAME, versions={NAME: version(NAME)}, threads=threads)
    return OnnxSession(artifact, place, batch, session, entry.name, answer.name)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".onnx",),
    package="onnxruntime",
    install="pip install 'galenic[onnxruntime]'",
    summary="ONNX Runtime on the processor, float32 and INT8 (QDQ)",
    load=load,
)


def _open(artifact: Artifact, data: bytes, threads: int) -> Any:
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
    try:
        session = onnxruntime.InferenceSession(data, options, providers=[PROVIDER])
    except Exception as error:  # its errors share no base class but Exception
        raise check.damaged(artifact, READER, error) from error
    session.disable_fallback()
    if session.get_providers() != [PROVIDER]:
        raise ModelError(
            given=f"ONNX Runtime runs {artifact.path} on {', '.join(session.get_providers())}",
            expected=f"{PROVIDER}, which was asked for",
            todo="install the plain onnxruntime package again",
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
