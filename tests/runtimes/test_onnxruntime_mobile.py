"""A dense layer as ONNX Runtime itself writes it in its own format, and what is refused of such files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from galenic.record.artifact import Artifact
from galenic.record.errors import InputError, MissingPackage, ModelError
from galenic.runtimes.load import artifact_of_file, open_session
from galenic.runtimes.onnxruntime_mobile import RUNTIME, load, op_times

ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]], np.float32)
VERSION = b"\x01\0\0\0" + b"6\0"
"""A text of one letter: its length, the letter and its end."""


@pytest.fixture
def whole(make_dense, tmp_path: Path) -> bytes:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "theirs.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(make_dense().SerializeToString(), options, providers=["CPUExecutionProvider"])
    return (tmp_path / "theirs.ort").read_bytes()


@pytest.fixture
def written(artifact, tmp_path: Path) -> Callable[[bytes], Artifact]:
    """Bytes as a file, with the hash of what they are."""

    def make(data: bytes) -> Artifact:
        path = tmp_path / "model.ort"
        path.write_bytes(data)
        changes = {"path": path, "runtime": "onnxruntime-mobile", "sha256": hashlib.sha256(data).hexdigest()}
        return artifact(b"").model_copy(update=changes | {"size_bytes": len(data)})

    return make


def test_it_answers_what_the_layer_computes(whole, written, oracle) -> None:
    session = open_session(written(whole), threads=2)
    np.testing.assert_allclose(session.run(ROWS), oracle(ROWS), atol=1e-6)
    assert (session.place.runtime, session.place.threads, session.place.device) == ("onnxruntime-mobile", 2, "cpu")
    assert set(session.place.versions) == {"onnxruntime"}


def test_an_outside_file_is_known_by_its_suffix(whole, written, oracle) -> None:
    made = written(whole)
    again = artifact_of_file(made.path, made.preprocessing, made.classes)
    assert (again.runtime, again.sha256) == ("onnxruntime-mobile", made.sha256)


def test_every_operation_has_its_time(whole, written) -> None:
    times = op_times(written(whole), ROWS, threads=1, device="cpu", runs=3)
    assert [one.op for one in times.ops] == ["Gemm"]
    assert times.ops[0].milliseconds > 0


def test_every_truncation_is_a_clear_error(whole, written) -> None:
    for length in range(0, len(whole) - 1, 37):
        with pytest.raises(ModelError, match=r"model\.ort is not a model that ONNX Runtime can load|of version"):
            load(written(whole[:length]))


@pytest.mark.parametrize("version", [b"4", b"7"])
def test_another_version_of_the_format_is_named_with_those_that_are_read(version, whole, written) -> None:
    assert whole.count(VERSION) >= 1
    with pytest.raises(
        ModelError, match=f"an .ort file of version {version.decode()} of its format; expected version 5 or 6"
    ):
        load(written(whole.replace(VERSION, VERSION.replace(b"6", version), 1)))


def test_a_file_of_another_runtime_is_refused(written, make_dense) -> None:
    for data in (make_dense().SerializeToString(), b"\x10\0\0\0TFL3" + bytes(64), b"\0" * 64, b"PTMF" * 20):
        with pytest.raises(
            ModelError, match=r"model\.ort is not a model that ONNX Runtime can load \(not a file of the format"
        ):
            load(written(data))


def test_damaged_files_are_refused_or_answer(whole, written) -> None:
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        data[random.integers(8, len(data))] ^= 1 << random.integers(0, 8)
        try:
            load(written(bytes(data))).run(ROWS)
        except ModelError:
            refused += 1
    assert refused


def test_what_cannot_be_is_refused(whole, written, monkeypatch) -> None:
    made = written(whole)
    with pytest.raises(
        InputError, match="the device 'gpu' for ONNX Runtime; expected one of cpu, CPUExecutionProvider"
    ):
        load(made, device="gpu")
    with pytest.raises(InputError, match="0 threads"):
        load(made, threads=0)
    with pytest.raises(ModelError, match="has 2 classes; expected 3 classes"):
        load(made.model_copy(update={"classes": ("a", "b", "c")}))
    made.path.write_bytes(whole + b"\0")
    with pytest.raises(ModelError, match="has changed"):
        load(made)
    monkeypatch.setattr("galenic.runtimes.runtime.find_spec", lambda name: None)
    assert not RUNTIME.available
    with pytest.raises(MissingPackage, match=r"run: pip install 'galenic\[onnxruntime\]'"):
        load(made)
