"""A folder like that of ``python -m venv``, whose python is this one and which finds the packages of this one's environment."""

import os
import sys
import sysconfig
from pathlib import Path

import numpy as np
import psutil
import pytest

from galenic.record.errors import ModelError
from galenic.record.session import WorkerSession
from galenic.runtimes import environment, tensorrt
from galenic.runtimes.load import open_session

ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]], np.float32)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def made(cache):
    def make(name: str) -> Path:
        folder = cache / "galenic" / "envs" / name
        packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        packages.mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "bin" / "python").symlink_to(sys.executable)
        home = Path(os.path.realpath(sys.executable)).parent
        (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
        (packages / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
        return folder / "bin" / "python"

    return make


def test_where_an_environment_lies_follows_the_cache_folder(cache, monkeypatch, made):
    assert environment.folder_of("tensorrt") == cache / "galenic" / "envs" / "tensorrt"
    assert environment.python_of("tensorrt") is None
    python = made("tensorrt")
    assert environment.python_of("tensorrt") == python
    assert environment.python_of("other") is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert environment.folder_of("tensorrt") == Path("/home/somebody/.cache/galenic/envs/tensorrt")


def test_one_command_makes_it_even_in_a_folder_with_a_blank(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/my cache")
    assert environment.command("tensorrt") == (
        "python -m venv '/my cache/galenic/envs/tensorrt' && "
        "'/my cache/galenic/envs/tensorrt'/bin/pip install 'galenic[tensorrt]'"
    )
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert environment.command("tensorrt") == (
        "python -m venv ~/.cache/galenic/envs/tensorrt && "
        "~/.cache/galenic/envs/tensorrt/bin/pip install 'galenic[tensorrt]'"
    )


def test_a_file_answers_in_a_process_of_that_interpreter(made, artifact, oracle):
    python = made("onnxruntime")
    with environment.opened(python, artifact(), 1, "cpu") as session:
        assert isinstance(session, WorkerSession)
        assert session.process_id != os.getpid()
        assert psutil.Process(session.process_id).cmdline()[0] == str(python)
        np.testing.assert_allclose(session.run(ROWS), oracle(ROWS), atol=1e-6)
        assert (session.place.runtime, session.place.threads, session.place.device) == ("onnxruntime", 1, "cpu")
        assert session.baseline_mb > 10
        assert 0 < session.inference_ns < 1e9
    assert not psutil.pid_exists(session.process_id)


def test_what_the_environment_refuses_is_said_with_its_reason_and_ends_its_process(made, artifact):
    python, before = made("onnxruntime"), psutil.Process().children()
    with pytest.raises(ModelError, match=r"refused in the environment .*has 2 classes; expected 3 classes"):
        environment.opened(python, artifact(classes=("a", "b", "c")), 1, "cpu")
    assert psutil.Process().children() == before


def test_a_runtime_with_an_environment_runs_in_it_and_nowhere_else(made, artifact, monkeypatch, tmp_path):
    """The environment here has no provider for a card: it says so, and its process starts no further one."""
    (tmp_path / "card").touch()
    monkeypatch.setattr(tensorrt, "CARDS", (tmp_path / "card",))
    assert not tensorrt.RUNTIME.available
    made("tensorrt")
    assert tensorrt.RUNTIME.available
    words = r"refused in the environment .*envs/tensorrt: .*an onnxruntime without TensorrtExecutionProvider, in .*envs/tensorrt;"
    with pytest.raises(ModelError, match=words) as refused:
        open_session(artifact(runtime="tensorrt"))
    assert environment.command("tensorrt") in refused.value.todo
