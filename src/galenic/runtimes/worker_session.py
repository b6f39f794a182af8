"""A Session whose file computes in a worker process, on float32 rows: what runtimes that answer ``frames`` alike can share."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes import check
from galenic.runtimes.frames import ANSWER, ROWS
from galenic.runtimes.worker import Worker

MOST_ROW_S = 120.0
"""Seconds for one row: a damaged file can run for ever."""
CLOCK_BYTES, FLOAT_BYTES = 8, 4


@dataclass(eq=False)
class FloatWorkerSession:
    """A Session in a worker; the worker ends with it, on leaving ``with`` or when nobody holds it any more.

    Attributes:
        artifact: the file.
        place: this machine, the threads, the versions.
        baseline_mb: resident memory of the worker before it loaded the file, 10^6 bytes.
        inference_ns: how long the last ``run`` was in the runtime, by the worker's clock.
    """

    artifact: Artifact
    place: Place
    baseline_mb: float
    _worker: Worker = field(repr=False)
    _reader: str
    inference_ns: int = 0

    @property
    def process_id(self) -> int:
        """Of the worker."""
        return self._worker.process_id

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 in, (batch, classes) float32 logits out.

        Raises:
            DataError: the inputs are not what the file takes.
            ModelError: the runtime refused, or the worker died; then the session is of no use, and others are untouched.
        """
        check.check_inputs(self.artifact, inputs)
        rows, classes = len(inputs), len(self.artifact.classes)
        kind, answer = self._worker.ask(
            ROWS,
            np.ascontiguousarray(inputs).reshape(-1).view(np.uint8).data,
            within_s=MOST_ROW_S * rows,
            most_bytes=CLOCK_BYTES + FLOAT_BYTES * rows * classes,
        )
        if kind != ANSWER:
            raise ModelError(
                given=f"{self.artifact.path}, which could not answer in {self._reader} ({first_line(answer)})",
                expected="a whole file for it",
                todo="copy or make the file again",
            )
        logits = np.frombuffer(answer, np.float32, offset=CLOCK_BYTES)
        logits = logits.reshape(rows, -1) if len(logits) % rows == 0 else logits
        check.check_logits(self.artifact, logits, rows)
        self.inference_ns = int.from_bytes(answer[:CLOCK_BYTES], "little")
        return logits

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def __enter__(self) -> FloatWorkerSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def first_line(answer: bytes | bytearray) -> str:
    """What a worker gave as its reason, shortened."""
    lines = answer.decode(errors="replace").splitlines()
    return lines[0][:200] if lines else "no reason given"
