"""The process of another environment's interpreter that a file runs in (see ``serving``).

    strt: a runtime's name                    ->  JSON, resident memory in 10^6 bytes when it is imported
    load: JSON, artifact, threads and device  ->  JSON, the Place
    rows: (n, *row), as the artifact's inputs ->  (n, classes) float32
The runtime is loaded as it would be without an environment of its own: this process is the one that has it.
"""

from __future__ import annotations

import json
from time import perf_counter_ns
from typing import Any

import numpy as np
import psutil

from galenic.record.artifact import Artifact
from galenic.record.session import Session
from galenic.runtimes.load import runtime_named
from galenic.runtimes.serving import answer_frames


class Environment:
    """The one file that is open."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def start(self, order: bytes) -> dict[str, float]:
        """Import the runtime of that name."""
        runtime_named(order.decode()).imported()
        return {"resident_mb": psutil.Process().memory_info().rss / 1e6}

    def load(self, file: bytes) -> dict[str, Any]:
        """The artifact that an order names; its place."""
        wanted = json.loads(file)
        artifact = Artifact.model_validate(wanted["artifact"])
        runtime = runtime_named(artifact.runtime)
        self._session = (runtime.here or runtime.load)(artifact, threads=wanted["threads"], device=wanted["device"])
        return self._session.place.model_dump(mode="json")

    def run(self, rows: bytearray) -> tuple[int, np.ndarray]:
        """The logits of rows, and how long they took."""
        if self._session is None:
            raise ValueError("there is no file yet")
        preprocessing = self._session.artifact.preprocessing
        inputs = np.frombuffer(rows, preprocessing.input_type).reshape(-1, *preprocessing.input_shape)
        begin = perf_counter_ns()
        logits = self._session.run(inputs)
        return perf_counter_ns() - begin, logits.astype(np.float32, copy=False)


if __name__ == "__main__":
    answer_frames(Environment())
