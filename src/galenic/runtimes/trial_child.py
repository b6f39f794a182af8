"""The child of ``trial``: an Artifact as JSON on stdin, threads and device as arguments; it leaves with 0 where it could leave."""

from __future__ import annotations

import sys
from contextlib import suppress

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import GalenicError
from galenic.runtimes.load import open_session


def main() -> None:
    """Load the file and answer a row of zeros."""
    threads, device = int(sys.argv[1]), sys.argv[2]
    artifact = Artifact.model_validate_json(sys.stdin.buffer.read())
    spec = artifact.preprocessing
    row = np.zeros((1, *spec.input_shape), spec.input_type)
    with suppress(GalenicError):
        session = open_session(artifact, threads=threads, **({"device": device} if device else {}))
        session.run(row)


if __name__ == "__main__":
    main()
