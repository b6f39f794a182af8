"""``dense.ptl`` beside this file was made by galenic.exporters.torch_mobile.to_ptl of a dense layer with the weights below."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import pytest

from dense_layer import ANSWERS, BIAS, ROWS, TABLE, WEIGHTS, WIDER, artifact_of
from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, InputError, MissingPackage, ModelError
from galenic.record.session import WorkerSession
from galenic.runtimes import torch_mobile
from galenic.runtimes.frames import LOAD, READY
from galenic.runtimes.load import artifact_of_file
from galenic.runtimes.torch_mobile import RUNTIME, load
from galenic.runtimes.worker import Worker
from galenic.runtimes.worker_session import FloatWorkerSession

FILE = Path(__file__).parent / "dense.ptl"
SEPARATE = """
import sys
import numpy as np
from galenic.record.artifact import Artifact
from galenic.runtimes.load import open_session
session = open_session(Artifact.model_validate_json(sys.argv[1]))
answers = session.run(np.zeros((2, 3), np.float32))
print(sorted({"torch", "galenic.runtimes.torch_mobile_worker"} & set(sys.modules)), answers.tolist())
"""


@pytest.fixture
def written(tmp_path) -> Callable[[bytes], Artifact]:
    """Bytes as a file, with the hash of what they are."""

    def make(data: bytes) -> Artifact:
        path = tmp_path / "model.ptl"
        path.write_bytes(data)
        return artifact_of(path, "torch-mobile")

    return make


@pytest.fixture(scope="module")
def session() -> Iterator[FloatWorkerSession]:
    with load(artifact_of(FILE, "torch-mobile")) as session:
        yield session


@pytest.fixture(scope="module")
def started() -> Iterator[Worker]:
    """A worker in which torch runs for rows of three, and no file is loaded."""
    worker = Worker(torch_mobile.WORKER, "a test in PyTorch Mobile")
    torch_mobile._asked(artifact_of(FILE, "torch-mobile"), worker, b"strt", b'{"threads": 1, "row": [3]}', 300)
    yield worker
    worker.close()


def test_it_answers_what_the_layer_computes_by_hand_for_any_number_of_rows(session):
    answers = session.run(ROWS)
    np.testing.assert_allclose(answers, ANSWERS, rtol=0, atol=1e-6)
    assert answers.dtype == np.float32
    for n in (1, 9):
        rows = np.random.default_rng(n).normal(size=(3, n)).astype(np.float32).T  # not in one piece
        np.testing.assert_allclose(session.run(rows), rows @ WEIGHTS.T + BIAS, atol=1e-5)


def test_the_place_says_machine_runtime_version_and_threads(session):
    place = session.place
    assert (place.runtime, place.threads, place.estimated) == ("torch-mobile", 1, False)
    assert place.versions == {"torch": version("torch")}
    assert isinstance(session, WorkerSession)
    assert session.baseline_mb > 50
    session.run(ROWS)
    assert 0 < session.inference_ns < 1e9


@pytest.mark.parametrize("inputs", [np.zeros((2, 4), np.float32), np.zeros((2, 3)), [[1.0, 2.0, 3.0]]])
def test_wrong_inputs_are_refused_at_run(session, inputs):
    with pytest.raises(DataError, match=r"expected float32 \(batch, 3\)"):
        session.run(inputs)
    with pytest.raises(DataError, match="no rows"):
        session.run(np.zeros((0, 3), np.float32))


def test_every_truncation_is_refused_or_ends_the_worker_and_nothing_else():
    whole = FILE.read_bytes()
    for length in range(8, len(whole), 211):
        worker = Worker(torch_mobile.WORKER, "a cut file")
        try:
            with pytest.raises(ModelError):
                torch_mobile._asked(artifact_of(FILE, "torch-mobile"), worker, LOAD, whole[:length], 60)
        finally:
            worker.close()


def test_damaged_files_are_refused_or_answer_and_the_session_next_to_them_goes_on(started, session, written):
    random, whole = np.random.default_rng(0), FILE.read_bytes()
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        data[random.integers(8, len(data))] ^= 1 << random.integers(0, 8)
        try:
            said, _ = started.ask(LOAD, bytes(data), within_s=60)
        except ModelError:  # it ended the worker, which is what workers are for
            refused += 1
            break
        refused += said != READY
    assert refused
    np.testing.assert_allclose(session.run(ROWS), ANSWERS, rtol=0, atol=1e-6)


def test_a_file_for_something_else_is_refused(written):
    with pytest.raises(ModelError, match="is not a model that PyTorch Mobile can load"):
        load(artifact_of(FILE, "torch-mobile").model_copy(update={"preprocessing": WIDER}))
    with pytest.raises(ModelError, match=r"has 2 classes; expected 3 classes \(a, b, c\)"):
        load(artifact_of(FILE, "torch-mobile").model_copy(update={"classes": ("a", "b", "c")}))


def test_a_killed_worker_is_an_error(written):
    with load(written(FILE.read_bytes()), threads=2) as session:
        assert session.place.threads == 2
        os.kill(session.process_id, signal.SIGKILL)
        with pytest.raises(ModelError, match=r"model\.ptl in PyTorch Mobile: its worker .* \(ended by SIGKILL\)"):
            session.run(ROWS)
    assert not psutil.pid_exists(session.process_id)


def test_the_sessions_process_has_no_torch():
    child = subprocess.run(
        [sys.executable, "-c", SEPARATE, artifact_of(FILE, "torch-mobile").model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.stdout, child.stderr) == ("[] [[0.5, -0.5], [0.5, -0.5]]\n", "")


@pytest.fixture
def no_worker(monkeypatch):
    """No process is started, so that what a test is about is refused before."""
    monkeypatch.setattr(torch_mobile, "Worker", None)


@pytest.mark.usefixtures("no_worker")
def test_an_outside_file_is_not_opened(tmp_path):
    path = tmp_path / "model.ptl"
    path.write_bytes(FILE.read_bytes())
    path.chmod(0)
    with pytest.raises(ModelError, match=r"no runtime of galenic loads; it was not opened"):
        artifact_of_file(path, TABLE, ("benign", "malignant"))


@pytest.mark.usefixtures("no_worker")
def test_a_zip_with_pickles_is_refused_although_its_hash_is_right(tmp_path):
    path = tmp_path / "model.ptl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"cos\nsystem\n(S'touch /tmp/galenic-was-here'\ntR.")
    with pytest.raises(ModelError, match="in the form of a zip, which holds pickles; it was not loaded"):
        load(artifact_of(path, "torch-mobile"))


@pytest.mark.usefixtures("no_worker")
def test_what_cannot_be_is_refused_before_anything_is_started(written, tmp_path):
    made = written(FILE.read_bytes())
    with pytest.raises(ModelError, match=r"gone\.ptl, which cannot be read"):
        load(made.model_copy(update={"path": tmp_path / "gone.ptl"}))
    with pytest.raises(InputError, match="0 threads"):
        load(made, threads=0)
    with pytest.raises(InputError, match="the device 'gpu' for PyTorch Mobile"):
        load(made, device="gpu")
    made.path.write_bytes(FILE.read_bytes()[:-1])
    with pytest.raises(ModelError, match=f"has changed: .* expected .*{made.sha256[:16]}"):
        load(made)
    with pytest.raises(ModelError, match="not a file of the format PTMF"):
        load(written(b"\x00" * 64))


@pytest.mark.usefixtures("no_worker")
def test_a_runtime_that_is_not_installed_is_said_at_once_with_one_command(monkeypatch):
    monkeypatch.setattr("galenic.runtimes.runtime.find_spec", lambda name: None)
    assert not RUNTIME.available
    with pytest.raises(MissingPackage, match=r"run: pip install 'galenic\[forge\]'"):
        load(artifact_of(FILE, "torch-mobile"))
