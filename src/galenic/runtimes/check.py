"""Refusals that every runtime shares: a changed file, and inputs or outputs that are not those of the task."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, InputError, ModelError
from galenic.record.session import Session

Dimension = int | str | None
"""A fixed size, or a name (or nothing) where any size is taken."""
CPU, GPU = "cpu", "gpu"
"""Devices that every runtime means the same by."""


def verified_bytes(artifact: Artifact) -> bytes:
    """The file's bytes, which are those that ``artifact.sha256`` is about; what is checked is what is then loaded."""
    try:
        data = artifact.path.read_bytes()
    except OSError as error:
        raise ModelError(
            given=f"{artifact.path}, which cannot be read ({error.strerror})",
            expected=f"the {artifact.runtime} file of {artifact.size_bytes} bytes that was made there",
            todo="make it again with `galenic compress`, or correct the path",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != artifact.sha256:
        raise ModelError(
            given=f"{artifact.path} has changed: {len(data)} bytes with sha256 {found[:16]}…",
            expected=f"{artifact.size_bytes} bytes with sha256 {artifact.sha256[:16]}…",
            todo="make the file again with `galenic compress`; nothing was loaded",
        )
    return data


def check_threads(threads: int) -> None:
    """InputError unless a session can be given that many threads."""
    if threads < 1:
        raise InputError(f"{threads} threads", "at least 1", "set threads to 1 or more")


def check_device(device: str, runtime: str, devices: Sequence[str] = (CPU,)) -> None:
    """InputError unless ``device`` is one of those that a runtime has here; there is no fallback to another one."""
    if device not in devices:
        raise InputError(
            given=f"the device '{device}' for {runtime}",
            expected=f"one of {', '.join(devices)}, which {runtime} has on this machine",
            todo="choose one of them, or install the runtime's package for that device",
        )


def damaged(artifact: Artifact, reader: str, error: Exception) -> ModelError:
    """What to raise where ``reader`` could not load a file whose hash is right."""
    why = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
    return ModelError(
        given=f"{artifact.path} is not a model that {reader} can load ({why[:200]})",
        expected=f"a whole {artifact.path.suffix} file, of operations that it knows",
        todo="copy or make the file again",
    )


def takes_channels_last(artifact: Artifact, found: Sequence[Dimension]) -> bool:
    """Whether a file's input is (batch, ..., channel), and not (batch, channel, ...): which it is where these are the same.

    Raises:
        ModelError: it is neither, of what the preprocessing gives.
    """
    channel, *rest = artifact.preprocessing.input_shape
    if _fits(found, (*rest, channel)) and not _fits(found, (channel, *rest)):
        return True
    check_input_shape(artifact, found)
    return False


def check_input_shape(artifact: Artifact, found: Sequence[Dimension]) -> None:
    """ModelError unless a file's input (batch, ...) takes what its preprocessing gives."""
    expected = artifact.preprocessing.input_shape
    if not _fits(found, expected):
        raise ModelError(
            given=f"{artifact.path} takes inputs of shape {_shape(found)}",
            expected=f"{_shape((None, *expected))}, which is what this task's preprocessing gives",
            todo="use a file for this task's data, channels first, or change the task's size",
        )


def check_output_shape(artifact: Artifact, found: Sequence[Dimension]) -> None:
    """ModelError unless a file answers (batch, one logit per class)."""
    classes = len(artifact.classes)
    if len(found) != 2 or (isinstance(found[1], int) and found[1] != classes):
        answer = f"{found[1]} classes" if len(found) == 2 else f"answers of shape {_shape(found)}"
        raise ModelError(
            given=f"{artifact.path} has {answer}",
            expected=f"{classes} classes ({', '.join(artifact.classes)}), as answers of shape (batch, {classes})",
            todo="use a file that was trained for this task",
        )


def check_inputs(artifact: Artifact, inputs: np.ndarray) -> None:
    """DataError unless ``inputs`` are (batch of at least one, *input_shape) float32, or int64 for text."""
    expected, wanted = artifact.preprocessing.input_shape, artifact.preprocessing.input_type
    if not isinstance(inputs, np.ndarray) or inputs.dtype != wanted or inputs.shape[1:] != expected:
        given = f"{inputs.dtype} {inputs.shape}" if isinstance(inputs, np.ndarray) else type(inputs).__name__
        raise DataError(
            given=f"inputs {given} for {artifact.path.name}",
            expected=f"{wanted} {_shape((None, *expected))}",
            todo="preprocess the raw rows first",
        )
    if len(inputs) == 0:
        raise DataError(f"no rows for {artifact.path.name}", "at least one row", "give it a row")


def check_logits(artifact: Artifact, logits: np.ndarray, rows: int) -> None:
    """ModelError unless the runtime answered (rows, classes)."""
    if logits.shape != (rows, len(artifact.classes)):
        raise ModelError(
            given=f"{artifact.path} answered {rows} rows with shape {logits.shape}",
            expected=f"({rows}, {len(artifact.classes)}): one logit per class",
            todo="use a file that was made for this task",
        )


def refuse_probabilities(session: Session) -> None:
    """ModelError where a file answers probabilities: their softmax would be taken a second time."""
    preprocessing, random = session.artifact.preprocessing, np.random.default_rng(0)
    shape = (8, *preprocessing.input_shape)
    text = preprocessing.text
    inputs: np.ndarray = random.normal(size=shape) if text is None else random.integers(1, len(text.vocabulary), shape)
    answers = session.run(inputs.astype(preprocessing.input_type))
    if (answers >= 0).all() and np.allclose(answers.sum(axis=1), 1.0, atol=1e-3):
        raise ModelError(
            given=f"{session.artifact.path} answers probabilities: on random inputs every row sums to 1",
            expected="logits, as they are before the softmax",
            todo="export the model without its last softmax",
        )


def _fits(found: Sequence[Dimension], expected: Sequence[int]) -> bool:
    """Whether an input (batch, ...) takes rows of a shape."""
    return len(found) == 1 + len(expected) and all(
        side == size for side, size in zip(found[1:], expected, strict=True) if isinstance(side, int)
    )


def _shape(sides: Sequence[Dimension]) -> str:
    named = ["batch", *("any" if side is None else str(side) for side in sides[1:])]
    return f"({', '.join(named)}{',' if len(named) == 1 else ''})"
