"""TFLite Micro's interpreter, as its Python wheel has it for this machine, in a process of its own: a bad file crashes it.

Its kernels here are the reference ones: what it answers and the arena it takes are a microcontroller's, how long it takes is not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes import check
from galenic.runtimes.flatbuffer import root_table
from galenic.runtimes.frames import ANSWER, LOAD, READY, ROWS, START
from galenic.runtimes.integer_ends import IntegerEnds
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime
from galenic.runtimes.worker import Worker

NAME = "tflite-micro"
READER = "TFLite Micro"
PACKAGE = "tflite_micro"
WORKER = "galenic.runtimes.tflite_micro_worker"
CAVEAT = "reference kernels on this machine: no microcontroller's time was measured"
MOST_START_S, MOST_LOAD_S, MOST_ROW_S = 120.0, 120.0, 120.0
CLOCK_BYTES = 8
TFLITE, MODEL_BUFFERS, BUFFER_OFFSET, BUFFER_SIZE = b"TFL3", 4, 1, 2
"""Of schema.fbs of LiteRT: the identifier, and numbers of fields of Model and Buffer."""
FLOAT, INTEGER = "float32", "int8"


@dataclass(eq=False)
class TfliteMicroSession:
    """A Session of TFLite Micro; its worker ends with it.

    Attributes:
        artifact: the file.
        place: this machine and the version.
        baseline_mb: resident memory of the worker before it loaded the file, 10^6 bytes.
        arena_bytes: what the interpreter takes for tensors, structs and buffers, measured by its recording allocator.
        inference_ns: how long the last ``run`` was in the interpreter.
    """

    artifact: Artifact
    place: Place
    baseline_mb: float
    arena_bytes: int
    _ends: IntegerEnds | None
    _worker: Worker = field(repr=False)
    inference_ns: int = 0

    @property
    def process_id(self) -> int:
        """Of the worker."""
        return self._worker.process_id

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 in, (batch, classes) float32 logits out; ModelError where it refused or died."""
        check.check_inputs(self.artifact, inputs)
        rows, classes = len(inputs), len(self.artifact.classes)
        entering = np.ascontiguousarray(inputs) if self._ends is None else self._ends.entering(inputs)
        kind = np.dtype(FLOAT if self._ends is None else INTEGER)
        limit = CLOCK_BYTES + rows * classes * kind.itemsize
        said, answer = self._worker.ask(ROWS, entering.tobytes(), within_s=MOST_ROW_S * rows, most_bytes=limit)
        if said != ANSWER:
            raise check.damaged(self.artifact, READER, ValueError(answer.decode(errors="replace")))
        found = np.frombuffer(answer, kind, offset=CLOCK_BYTES)
        logits = found.reshape(rows, -1) if len(found) % rows == 0 else found
        check.check_logits(self.artifact, logits, rows)
        self.inference_ns = int.from_bytes(answer[:CLOCK_BYTES], "little")
        return logits if self._ends is None else self._ends.leaving(logits)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU) -> TfliteMicroSession:
    """Load a .tflite file in a worker process; there is one thread whatever is asked for.

    Raises:
        MissingPackage: tflite-micro is not installed.
        InputError: another device than the processor.
        ModelError: the file is missing, changed, damaged, crashes the worker, or has other inputs or outputs than it should.
    """
    RUNTIME.require()
    check.check_threads(threads)
    check.check_device(device, READER)
    data = check.verified_bytes(artifact)
    _check_inside(artifact, data)
    worker = Worker(WORKER, f"{artifact.path} in {READER}")
    try:
        baseline_mb = _asked(artifact, worker, START, b"", MOST_START_S)["resident_mb"]
        facts = _asked(artifact, worker, LOAD, data, MOST_LOAD_S)
        ends = _ends(artifact, facts["input"], facts["output"])
    except BaseException:
        worker.close()
        raise
    versions = {NAME: version(NAME)}
    place = Place(machine=machine_name(), runtime=NAME, versions=versions, threads=1, caveat=CAVEAT)
    return TfliteMicroSession(artifact, place, baseline_mb, facts["arena_bytes"], ends, worker)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(),
    package=PACKAGE,
    install="pip install 'galenic[tflite-micro]'",
    summary="TFLite Micro's interpreter with its reference kernels, in a process of its own: answers and arena, not time",
    load=load,
    caveat=CAVEAT,
)


def _check_inside(artifact: Artifact, data: bytes) -> None:
    """ModelError where values lie behind the flatbuffer: TFLite Micro would read zeros there, without a word."""
    try:
        buffers = root_table(data, TFLITE).tables(MODEL_BUFFERS)
        outside = any(one.number(field, "<Q") for one in buffers for field in (BUFFER_OFFSET, BUFFER_SIZE))
    except ValueError as error:
        raise check.damaged(artifact, READER, error) from error
    if outside:
        raise ModelError(
            given=f"{artifact.path}, whose weights lie behind the flatbuffer: {READER} would compute with zeros",
            expected="a file with every weight inside of it",
            todo="export it with galenic for tflite-micro, or run this file in litert",
        )


def _asked(artifact: Artifact, worker: Worker, kind: bytes, payload: bytes, within_s: float) -> dict[str, Any]:
    said, answer = worker.ask(kind, payload, within_s=within_s)
    if said != READY:
        raise check.damaged(artifact, READER, ValueError(answer.decode(errors="replace")))
    facts: dict[str, Any] = json.loads(answer)
    return facts


def _ends(artifact: Artifact, entry: dict[str, Any], answer: dict[str, Any]) -> IntegerEnds | None:
    """The grids of both ends, None where they are float32; the shapes are checked."""
    kinds = entry["type"], answer["type"]
    if kinds not in ((FLOAT, FLOAT), (INTEGER, INTEGER)):
        raise ModelError(
            given=f"{artifact.path} takes {kinds[0]} and answers {kinds[1]}",
            expected="int8 at both ends, or float32 at both",
            todo="export it with galenic",
        )
    check.check_input_shape(artifact, entry["shape"])
    check.check_output_shape(artifact, answer["shape"])
    if kinds[0] == FLOAT:
        return None
    return IntegerEnds(entry["scale"], entry["zero"], answer["scale"], answer["zero"], channel_last=False)
