"""The dense layer of three numbers that each runtime's test has as a file of its own, and the Artifact of such a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Modality, Preprocessing

CLASSES = ("benign", "malignant")
TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(3,), scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
WIDER = TABLE.model_copy(update={"raw_shape": (5,), "mean": (0.0,) * 5, "std": (1.0,) * 5})
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]], np.float32)
BIAS = np.array([0.5, -0.5], np.float32)
ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 0.0]], np.float32)
# row 0: 1 - 4 + 1.5 + 0.5 = -1 and 0.25 + 6 - 3 - 0.5 = 2.75; row 2 is the bias
ANSWERS = [[-1.0, 2.75], [-1.5, 0.75], [0.5, -0.5]]


def artifact_of(path: Path, runtime: str, data: bytes | None = None, **changes: object) -> Artifact:
    """The Artifact of a file that is there, or that these bytes make."""
    if data is not None:
        path.write_bytes(data)
    data = path.read_bytes()
    made = Artifact(
        path=path,
        runtime=runtime,
        precision="float32",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        lineage=("dense",),
        preprocessing=TABLE,
        classes=CLASSES,
    )
    return made.model_copy(update=changes)
