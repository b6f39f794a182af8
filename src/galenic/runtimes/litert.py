"""LiteRT on the processor: its XNNPACK kernels, with the threads asked for.

The interpreter checks a file's structure before it uses it, and never reads another file: weights that lie there are missing.
A file's shape says whether its input has the channel first or last; where both are the same shape, it has it first.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import version
from threading import Lock
from typing import Any

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.bench import OpTimes
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.record.quiet import streams_gathered
from galenic.runtimes import check
from galenic.runtimes.batches import in_batches
from galenic.runtimes.litert_profile import profiled
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime

NAME = "litert"
READER = "LiteRT"
PACKAGE, DISTRIBUTION = "ai_edge_litert", "ai-edge-litert"
FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class LitertSession:
    """A Session of LiteRT.

    Attributes:
        artifact: the file.
        place: this machine, the threads, the version.
        batch: rows that the file takes at a time.
        channels_last: whether it takes (batch, ..., channel), as LiteRT's own kernels do.
    """

    artifact: Artifact
    place: Place
    batch: int
    channels_last: bool
    _interpreter: Any
    _input: int
    _output: int
    _lock: Lock

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 in, (batch, classes) float32 logits out; ModelError where the file lacks weights."""
        check.check_inputs(self.artifact, inputs)
        with self._lock:  # the interpreter has one place for the input, which another thread's rows would overwrite
            logits = in_batches(self._answer, inputs, self.batch)
        check.check_logits(self.artifact, logits, len(inputs))
        return logits

    def as_taken(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, channel, ...) in the file's own order."""
        if not self.channels_last:
            return inputs
        return np.stack(list(inputs.swapaxes(0, 1)), axis=-1)  # by channels: numpy is slow where the last axis is short

    def _answer(self, inputs: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input, self.as_taken(inputs))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise check.damaged(self.artifact, READER, error) from error
        logits: np.ndarray = self._interpreter.get_tensor(self._output)
        return logits


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU) -> LitertSession:
    """Load a .tflite file on the processor with ``threads`` threads.

    Raises:
        InputError: another device than the processor.
        MissingPackage: ai-edge-litert is not installed.
        ModelError: the file is missing, changed, damaged, not whole, or has other inputs or outputs than it should.
    """
    RUNTIME.require()
    check.check_threads(threads)
    check.check_device(device, READER)
    data = check.verified_bytes(artifact)
    interpreter = _open(artifact, data, threads)
    entry, answer = _ends(artifact, interpreter)
    place = Place(machine=machine_name(), runtime=NAME, versions={DISTRIBUTION: version(DISTRIBUTION)}, threads=threads)
    batch, *_ = shape = entry["shape"].tolist()
    last = check.takes_channels_last(artifact, shape)
    return LitertSession(artifact, place, batch, last, interpreter, entry["index"], answer["index"], Lock())


def op_times(artifact: Artifact, inputs: np.ndarray, *, threads: int, device: str, runs: int) -> OpTimes:
    """The time of every operation over ``runs`` rows of ``inputs``, by LiteRT's own profiler, in a process of its own."""
    session = load(artifact, threads=threads, device=device)
    if artifact.preprocessing.input_type != FLOAT:
        return OpTimes(reason="LiteRT's profiler is given float32 inputs alone")
    whole = np.resize(inputs, (-(-len(inputs) // session.batch) * session.batch, *inputs.shape[1:]))
    taken = session.as_taken(whole)
    batches = taken.reshape(-1, session.batch, *taken.shape[1:])
    outputs = len(artifact.classes)
    data, subject = check.verified_bytes(artifact), str(artifact.path)
    return profiled(data, batches, outputs, threads=threads, runs=runs, subject=subject)


def import_litert() -> Any:
    """The module with the interpreter."""
    from ai_edge_litert import interpreter

    return interpreter


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".tflite",),
    package=PACKAGE,
    install="pip install 'galenic[litert]' && pip install --no-deps litert-torch==0.10.0 litert-converter==0.5.0",
    summary="LiteRT (TensorFlow Lite) on the processor, float32 and integers",
    load=load,
    importing=import_litert,
    op_times=op_times,
)


def _open(artifact: Artifact, data: bytes, threads: int) -> Any:
    litert = import_litert()
    if not data:
        raise check.damaged(artifact, READER, ValueError("no bytes"))
    try:
        with streams_gathered() as said:
            interpreter = litert.Interpreter(model_content=data, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise check.damaged(artifact, READER, error) from error
    for line in said:
        if not line.startswith("INFO: "):  # that it has made its XNNPACK delegate, whenever it has
            print(line, file=sys.stderr)
    return interpreter


def _ends(artifact: Artifact, interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one input and the first output, checked."""
    entries, answers = interpreter.get_input_details(), interpreter.get_output_details()
    wanted = artifact.preprocessing.input_type
    if [np.dtype(end["dtype"]) for end in entries] != [wanted] or np.dtype(answers[0]["dtype"]) != FLOAT:
        found = ", ".join(f"{end['name']} {np.dtype(end['dtype'])}" for end in (*entries, *answers))
        raise ModelError(
            given=f"{artifact.path} has the inputs and outputs {found}",
            expected=f"one {wanted} input, and float32 logits as the first output",
            todo=f"export it with {wanted} inputs and float32 outputs",
        )
    check.check_output_shape(artifact, answers[0]["shape"].tolist())
    return entries[0], answers[0]
