"""Files that crash LiteRT or never end: dense_tflite's, with one byte changed. All of it happens in real child processes."""

import numpy as np
import pytest

from dense_layer import ANSWERS, CLASSES, ROWS, TABLE, artifact_of
from dense_tflite import dense
from galenic.record.errors import ModelError
from galenic.runtimes.load import artifact_of_file, open_session
from galenic.runtimes.trial import try_in_child

CRASHES, HANGS = (18, 0), (447, 64)
"""Where the byte lies and what it becomes: a table without its field, and a vector of 2^30 elements."""


def changed(place: int, value: int) -> bytes:
    data = bytearray(dense())
    assert data[place] != value
    data[place] = value
    return bytes(data)


@pytest.mark.slow
def test_a_whole_file_passes_and_can_be_opened(tmp_path):
    artifact = artifact_of(tmp_path / "model.tflite", "litert", dense())
    try_in_child(artifact)
    np.testing.assert_allclose(open_session(artifact).run(ROWS), ANSWERS, atol=1e-6)


@pytest.mark.slow
def test_a_file_that_crashes_its_parser_is_an_error_and_this_process_lives(tmp_path):
    path = tmp_path / "model.tflite"
    artifact = artifact_of(path, "litert", changed(*CRASHES))
    with pytest.raises(ModelError, match=r"ended its process by SIG[A-Z]+ as litert loaded it"):
        try_in_child(artifact)
    with pytest.raises(ModelError, match="ended its process by SIG"):
        artifact_of_file(path, TABLE, CLASSES)


@pytest.mark.slow
def test_a_file_that_never_ends_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="gave no answer within 8 s"):
        try_in_child(artifact_of(tmp_path / "model.tflite", "litert", changed(*HANGS)), within_s=8)


@pytest.mark.slow
def test_what_is_refused_with_an_error_of_ours_is_left_to_the_next_load(tmp_path):
    artifact = artifact_of(tmp_path / "model.tflite", "litert", dense()[:200])
    try_in_child(artifact)
    with pytest.raises(ModelError, match="is not a model that LiteRT can load"):
        open_session(artifact)
