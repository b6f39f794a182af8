"""Session: an artifact loaded and ready. Whatever the runtime, measuring and predicting only see this."""

from __future__ import annotations

from typing import Protocol

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
