"""Files that crash LiteRT or never end: dense_tflite's, with one byte changed. All of it happens in real child processes."""

import hashlib
from pathlib import Path

import pytest

from dense_tflite import dense
from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.runtimes.load import artifact_of_file, open_session
from galenic.runtimes.trial import try_in_child

CLASSES = ("benign", "malignant")
TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(3,), scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
CRASHES, HANGS = (18, 0), (447, 64)
"""Where the byte lies and what it becomes: a table without its field, and a vector of 2^30 elements."""


def changed(place: int, value: int) -> bytes:
    data = bytearray(dense())
    assert data[place] != value
    data[place] = value
    return bytes(data)


def artifact_of(path: Path, data: bytes) -> Artifact:
    path.write_bytes(data)
    return Artifact(
        path=path,
        runtime="litert",
        precision="as given",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        lineage=("file",),
        preprocessing=TABLE,
        classes=CLASSES,
    )


@pytest.mark.slow
def test_a_whole_file_passes(tmp_path):
    assert try_in_child(artifact_of(tmp_path / "model.tflite", dense())) is None  # type: ignore[func-returns-value]


@pytest.mark.slow
def test_a_file_that_crashes_its_parser_is_an_error_and_this_process_lives(tmp_path):
    path = tmp_path / "model.tflite"
    artifact = artifact_of(path, changed(*CRASHES))
    with pytest.raises(ModelError, match=r"ended its process by SIG[A-Z]+ as litert loaded it"):
        try_in_child(artifact)
    with pytest.raises(ModelError, match="ended its process by SIG"):
        artifact_of_file(path, TABLE, CLASSES)


@pytest.mark.slow
def test_a_file_that_never_ends_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="gave no answer within 8 s"):
        try_in_child(artifact_of(tmp_path / "model.tflite", changed(*HANGS)), within_s=8)


@pytest.mark.slow
def test_what_is_refused_with_an_error_of_ours_is_left_to_the_next_load(tmp_path):
    artifact = artifact_of(tmp_path / "model.tflite", dense()[:200])
    try_in_child(artifact)
    with pytest.raises(ModelError, match="is not a model that LiteRT can load"):
        open_session(artifact)
