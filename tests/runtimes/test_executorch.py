"""The .pte files beside this one were made by galenic.exporters.executorch_program of a dense layer with the weights below.

``dense.pte`` takes one row, ``dense_by_fours.pte`` four; ``two_outputs.pte`` answers x + 1 and 2 x.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from time import perf_counter_ns

import numpy as np
import psutil
import pytest

from dense_layer import ANSWERS, BIAS, ROWS, WEIGHTS, WIDER, artifact_of
from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, InputError, MissingPackage, ModelError
from galenic.record.measurement import Place
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces
from galenic.record.session import WorkerSession
from galenic.runtimes import executorch
from galenic.runtimes.executorch import RUNTIME, load
from galenic.runtimes.worker import Worker
from galenic.runtimes.worker_session import FloatWorkerSession

FOLDER = Path(__file__).parent
SEPARATE = """
import json, sys
import numpy as np
from galenic.record.artifact import Artifact
from galenic.runtimes.load import open_session
session = open_session(Artifact.model_validate(json.loads(sys.stdin.readline())))
answers = session.run(np.zeros((2, 3), np.float32))
print(sorted({"torch", "executorch", "galenic.runtimes.executorch_worker"} & set(sys.modules)), answers.tolist())
print(session.process_id, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def changed(tmp_path) -> Callable[..., Artifact]:
    """The file with one bit flipped (and the hash of what it is then), or cut."""

    def make(flip: int | None = None, length: int | None = None) -> Artifact:
        data = bytearray((FOLDER / "dense.pte").read_bytes()[:length])
        if flip is not None:
            data[flip] ^= 128
        path = tmp_path / "model.pte"
        path.write_bytes(data)
        return artifact_of(path, "executorch")

    return make


@pytest.fixture(scope="module")
def session() -> Iterator[FloatWorkerSession]:
    with load(artifact_of(FOLDER / "dense.pte", "executorch")) as session:
        yield session


@pytest.fixture(scope="module")
def started() -> Iterator[Worker]:
    """A worker in which ExecuTorch runs and no file is loaded."""
    worker = Worker(executorch.WORKER, "a test in ExecuTorch")
    assert executorch._start(worker, 1) > 50
    yield worker
    worker.close()


def open_in(worker: Worker, artifact: Artifact) -> FloatWorkerSession:
    """A session in a worker that is already there."""
    executorch._open(worker, artifact, artifact.path.read_bytes())
    return FloatWorkerSession(artifact, Place(machine="here", runtime="executorch"), 0.0, worker, executorch.READER)


def test_it_answers_what_the_layer_computes_by_hand(session):
    answers = session.run(ROWS)
    np.testing.assert_allclose(answers, ANSWERS, rtol=0, atol=1e-6)
    assert answers.dtype == np.float32


def test_the_place_says_machine_runtime_version_and_threads(session):
    place = session.place
    assert (place.runtime, place.threads, place.estimated) == ("executorch", 1, False)
    assert place.versions == {"executorch": version("executorch")}
    assert place.machine.endswith(("core", "cores"))


def test_one_thread_is_one_thread_of_the_system(session):
    session.run(ROWS)
    assert psutil.Process(session.process_id).num_threads() == 1


def test_rows_that_do_not_lie_in_one_piece_are_answered_too(session):
    rows = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32).T
    np.testing.assert_allclose(session.run(rows), rows @ WEIGHTS.T + BIAS, atol=1e-5)


def test_an_answer_stays_as_it_was_when_the_next_one_is_given(session):
    first = session.run(ROWS[:1])
    session.run(ROWS[1:2])
    np.testing.assert_allclose(first, ANSWERS[:1], atol=1e-6)


def test_the_workers_clock_leaves_out_a_pipe_that_costs_less_than_a_millisecond(session):
    assert isinstance(session, WorkerSession)
    pipes_ns = []
    for _ in range(200):
        start = perf_counter_ns()
        session.run(ROWS[:1])
        pipes_ns.append(perf_counter_ns() - start - session.inference_ns)
        assert session.inference_ns > 0
    assert min(pipes_ns) > 0
    assert np.median(pipes_ns) < 1e6


@pytest.mark.parametrize(
    "inputs", [np.zeros((2, 4), np.float32), np.zeros((2, 3)), np.zeros((3,), np.float32), [[1.0, 2.0, 3.0]]]
)
def test_wrong_inputs_are_refused_at_run(session, inputs):
    with pytest.raises(DataError, match=r"expected float32 \(batch, 3\)"):
        session.run(inputs)
    with pytest.raises(DataError, match="no rows"):
        session.run(np.zeros((0, 3), np.float32))


def test_a_file_for_four_rows_answers_any_number_of_them(started):
    session = open_in(started, artifact_of(FOLDER / "dense_by_fours.pte", "executorch"))
    rows = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    for n in (1, 4, 9):
        np.testing.assert_allclose(session.run(rows[:n]), rows[:n] @ WEIGHTS.T + BIAS, atol=1e-5)


def test_a_file_for_something_else_is_refused_with_both_numbers(started):
    dense = artifact_of(FOLDER / "dense.pte", "executorch")
    with pytest.raises(ModelError, match=r"takes inputs of shape \(batch, 3\); expected \(batch, 5\)"):
        open_in(started, dense.model_copy(update={"preprocessing": WIDER}))
    with pytest.raises(ModelError, match=r"has 2 classes; expected 3 classes \(a, b, c\)"):
        open_in(started, dense.model_copy(update={"classes": ("a", "b", "c")}))
    with pytest.raises(ModelError, match="has 1 inputs and 2 outputs"):
        open_in(started, artifact_of(FOLDER / "two_outputs.pte", "executorch"))


def test_every_truncation_is_refused_and_the_worker_lives_on(started, changed):
    for length in range(0, len((FOLDER / "dense.pte").read_bytes()), 97):
        with pytest.raises(ModelError, match="is not a program that ExecuTorch can load"):
            open_in(started, changed(length=length))
    answers = open_in(started, artifact_of(FOLDER / "dense.pte", "executorch")).run(ROWS)
    np.testing.assert_allclose(answers, ANSWERS, rtol=0, atol=1e-6)


def test_a_file_that_crashes_the_runtime_is_an_error_and_other_sessions_do_not_notice(changed, session):
    with pytest.raises(ModelError, match=r"model\.pte in ExecuTorch: its worker .* \(ended by SIG(SEGV|ABRT)"):
        load(changed(flip=512))
    np.testing.assert_allclose(session.run(ROWS), ANSWERS, rtol=0, atol=1e-6)


def test_the_next_session_after_that_works_until_its_worker_is_killed():
    with load(artifact_of(FOLDER / "dense.pte", "executorch"), threads=2) as session:
        np.testing.assert_allclose(session.run(ROWS), ANSWERS, rtol=0, atol=1e-6)
        assert session.place.threads == psutil.Process(session.process_id).num_threads() == 2
        os.kill(session.process_id, signal.SIGKILL)
        with pytest.raises(ModelError, match=r"dense\.pte in ExecuTorch: its worker .* \(ended by SIGKILL\)"):
            session.run(ROWS)
    assert not psutil.pid_exists(session.process_id)


@pytest.mark.slow
def test_a_file_that_never_ends_loading_is_an_error(changed, monkeypatch):
    monkeypatch.setattr(executorch, "MOST_LOAD_S", 1.0)
    with pytest.raises(ModelError, match="no answer within 1 s"):
        load(changed(flip=434))


def test_the_sessions_process_has_no_torch_and_takes_the_worker_with_it():
    command = [sys.executable, "-c", SEPARATE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        parent.stdin.write(artifact_of(FOLDER / "dense.pte", "executorch").model_dump_json().encode() + b"\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == b"[] [[0.5, -0.5], [0.5, -0.5]]\n"
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        worker.wait(10)
        assert parent.stderr.read() == b""


@pytest.fixture
def no_worker(monkeypatch):
    """No process is started, so that what a test is about is refused before."""
    monkeypatch.setattr(executorch, "Worker", None)


@pytest.mark.usefixtures("no_worker")
def test_one_flipped_bit_is_refused_before_anything_is_started(changed):
    made = changed()
    made.path.write_bytes(changed(flip=700).path.read_bytes())
    with pytest.raises(ModelError, match=f"has changed: .* expected .*{made.sha256[:16]}"):
        load(made)


@pytest.mark.usefixtures("no_worker")
def test_what_cannot_be_is_refused_before_anything_is_started(changed, tmp_path):
    with pytest.raises(ModelError, match=r"gone\.pte, which cannot be read"):
        load(changed().model_copy(update={"path": tmp_path / "gone.pte"}))
    with pytest.raises(InputError, match="0 threads"):
        load(changed(), threads=0)


@pytest.mark.usefixtures("no_worker")
def test_a_text_net_is_refused_by_name(changed):
    pieces = WordPieces(vocabulary=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"))
    text = Preprocessing(modality=Modality.TEXT, raw_shape=(4,), scale=1.0, mean=(), std=(), text=pieces)
    with pytest.raises(ModelError, match=r"a text net for ExecuTorch; .* not supported in ExecuTorch yet"):
        load(changed().model_copy(update={"preprocessing": text}))


@pytest.mark.usefixtures("no_worker")
def test_a_runtime_that_is_not_installed_is_said_at_once_with_one_command(changed, monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch", None)  # makes the import really impossible
    assert not RUNTIME.available
    with pytest.raises(MissingPackage, match=r"run: pip install 'galenic\[executorch\]'"):
        load(changed())
