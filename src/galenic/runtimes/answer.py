"""One answer, in its three parts: raw rows to inputs, inputs to logits, logits to a decision.

preprocessing    raw (n, *raw_shape) -> inputs (n, *input_shape) float32
inference        inputs -> logits (n, classes) float32
postprocessing   logits -> probabilities (n, classes) float64, decisions (n,) or (n, classes)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galenic.preprocess.transform import check_raw, to_inputs
from galenic.record.errors import DataError, InputError
from galenic.record.session import Session
from galenic.record.task import TaskKind

BATCH_ROWS = 256


def prepare(session: Session, raw: np.ndarray) -> np.ndarray:
    """The inputs of ``session`` for raw rows."""
    return to_inputs(session.artifact.preprocessing, raw)


def postprocess(logits: np.ndarray, kind: TaskKind) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (sigmoid for multi-label tasks, softmax otherwise) and decisions (0/1 at 0.5, or the largest)."""
    values = logits.astype(np.float64)
    if kind is TaskKind.MULTI_LABEL:
        probabilities = 0.5 * (1.0 + np.tanh(0.5 * values))
        return probabilities, (values > 0).astype(np.uint8)
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True), values.argmax(axis=1)


def run_raw(
    session: Session,
    raw: np.ndarray,
    batch_rows: int = BATCH_ROWS,
    told: Callable[[int], object] | None = None,
) -> np.ndarray:
    """(n, classes) float32 logits of raw rows, ``batch_rows`` at a time; ``told`` hears how many rows are done.

    Raises:
        DataError: a row is not what the preprocessing is about; it names the row's number in ``raw``.
    """
    if len(raw) == 0:
        return np.zeros((0, len(session.artifact.classes)), np.float32)
    check_raw(session.artifact.preprocessing, raw)
    parts = []
    for start in range(0, len(raw), batch_rows):
        parts.append(session.run(prepare(session, raw[start : start + batch_rows])))
        if told is not None:
            told(min(start + batch_rows, len(raw)))
    return np.concatenate(parts)


@dataclass(frozen=True)
class PictureAnswer:
    """What a file answers to a picture: n is 1, or the number of frames where the task took all frames as rows.

    Attributes:
        kind: of the task, which said how logits become probabilities.
        logits: (n, classes) float32.
        probabilities: (n, classes) float64.
        decisions: (n,) of the largest one, or (n, classes) of yes and no in a multi-label task.
    """

    kind: TaskKind
    logits: np.ndarray
    probabilities: np.ndarray
    decisions: np.ndarray


def answer_picture(
    session: Session,
    picture: bytes | Path,
    *,
    name: str = "the picture",
    kind: TaskKind | None = None,
    burned_in: bool = False,
) -> PictureAnswer:
    """The answer to a PNG, JPEG or DICOM file of any size, which becomes rows as those of the file's own task did.

    Args:
        session: the file.
        picture: the picture's bytes, or where it lies.
        name: of the picture, for errors, where its bytes are given.
        kind: of the task; None where the file's card says it.
        burned_in: whether to take a DICOM file that says a patient can be told from its pixels.

    Raises:
        DataError: the picture cannot be read or used, or the file is not about pictures.
        InputError: nobody says the task's kind.
        MissingPackage: a DICOM file, and pydicom is not installed.
    """
    from galenic.preprocess.picture import picture_rows  # with it comes Pillow, which other files do without

    artifact = session.artifact
    known = kind or artifact.kind
    if known is None:
        raise InputError(
            given=f"{artifact.path.name}, whose card does not say whether its classes exclude each other",
            expected=f"the kind of its task: {', '.join(TaskKind)}",
            todo="name it (--kind), or export the file again",
        )
    data, name = (picture, name) if isinstance(picture, bytes) else (_bytes_of(picture), str(picture))
    logits = run_raw(session, picture_rows(artifact.preprocessing, data, name, burned_in=burned_in))
    return PictureAnswer(known, logits, *postprocess(logits, known))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}, which cannot be read ({error.strerror})", "a PNG, JPEG or DICOM file", "check the path"
        ) from error
