"""Session: an artifact loaded and ready. Whatever the runtime, measuring and predicting only see this."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.measurement import Place


class Session(Protocol):
    """A file that a runtime has loaded.

    ``run`` takes preprocessed inputs (batch, *input_shape) float32 and returns logits (batch, classes) float32.
    ``place`` says what runs it, with which threads and versions.
    """

    @property
    def artifact(self) -> Artifact:
        """The file."""

    @property
    def place(self) -> Place:
        """What runs it, with which threads and versions."""

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 in, (batch, classes) float32 logits out."""


@runtime_checkable
class WorkerSession(Session, Protocol):
    """A Session whose file runs in a process of its own, because its Python runtime needs torch or can crash.

    No device has that process or the pipe to it, so what is measured there counts instead of what is seen from here.
    """

    @property
    def process_id(self) -> int:
        """Of the process that runs the file."""

    @property
    def baseline_mb(self) -> float:
        """Its resident memory when the runtime was imported and the file not yet loaded, 10^6 bytes."""

    @property
    def inference_ns(self) -> int:
        """How long the last ``run`` took there, without the pipe."""
