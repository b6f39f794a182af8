"""What ONNX Runtime is given for TensorRT, on a machine that seems to have a card: what comes back is the processor's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest

from galenic.record.errors import InputError, MissingPackage, ModelError
from galenic.runtimes import tensorrt
from galenic.runtimes.load import open_session
from galenic.runtimes.tensorrt import PROVIDER, RUNTIME, absence, load

ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]], np.float32)
SHAPES = {f"trt_profile_{name}_shapes": f"input:{rows}x3" for name, rows in (("min", 1), ("opt", 1), ("max", 256))}


class Asked:
    """Stands for InferenceSession: keeps what it was given, and answers as the processor."""

    last: Asked
    providers_there: tuple[str, ...] = (PROVIDER,)

    def __init__(self, data: bytes, options: Any, providers: list[Any]) -> None:
        self.data, self.options, self.providers, self.fallback = data, options, providers, True
        self._real = REAL(data, providers=["CPUExecutionProvider"])
        type(self).last = self

    def get_providers(self) -> list[str]:
        return [*self.providers_there, "CPUExecutionProvider"]

    def disable_fallback(self) -> None:
        self.fallback = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


REAL = onnxruntime.InferenceSession


@pytest.fixture
def no_environment(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def card(monkeypatch, tmp_path, no_environment) -> type[Asked]:
    (tmp_path / "card").touch()
    monkeypatch.setattr(tensorrt, "CARDS", (tmp_path / "card",))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [PROVIDER, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Asked)
    return Asked


@pytest.mark.parametrize(
    ("precision", "further"),
    [
        ("float32", {}),
        ("int8", {"trt_int8_enable": "True"}),
        ("float16", {"trt_fp16_enable": "True"}),
        ("weights-int4", {}),
    ],
)
def test_the_provider_gets_the_arithmetic_of_the_file_and_the_batches_of_an_engine(card, artifact, precision, further):
    made = artifact(precision=precision, runtime="tensorrt")
    session = load(made)
    assert card.last.providers == [(PROVIDER, SHAPES | further)]
    assert card.last.data == made.path.read_bytes()
    assert (session.place.runtime, session.place.device, session.place.threads) == ("tensorrt", "gpu", 1)


def test_the_file_is_given_on_as_it_is_and_nothing_falls_back(card, artifact, oracle):
    session = load(artifact(runtime="tensorrt"), threads=2)
    options, asked = card.last.options, card.last
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
    assert (options.intra_op_num_threads, asked.fallback) == (2, False)
    np.testing.assert_allclose(session.run(ROWS), oracle(ROWS), atol=1e-6)


def test_a_session_that_names_no_device_is_on_the_card_and_the_processor_is_refused(card, artifact):
    made = artifact(runtime="tensorrt")
    assert open_session(made).place.device == "gpu"
    assert open_session(made, device=PROVIDER).place.device == "gpu"
    for device in ("cpu", "CPUExecutionProvider", "CUDAExecutionProvider"):
        with pytest.raises(InputError, match=f"the device '{device}' for TensorRT; expected one of gpu, {PROVIDER}"):
            open_session(made, device=device)


def test_what_onnxruntime_does_elsewhere_is_an_error(card, artifact, monkeypatch):
    monkeypatch.setattr(card, "providers_there", ("CUDAExecutionProvider",))
    with pytest.raises(ModelError, match=rf"on CUDAExecutionProvider, CPUExecutionProvider; expected {PROVIDER}"):
        load(artifact(runtime="tensorrt"))


def test_the_real_onnxruntime_without_the_provider_is_refused(card, artifact, monkeypatch):
    """Where it only says that it has it: nothing is computed on the processor."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", REAL)
    with pytest.raises(ModelError):
        load(artifact(runtime="tensorrt"))


@pytest.mark.usefixtures("no_environment")
def test_a_machine_without_a_card_says_so_and_how_to_make_the_environment_on_one_that_has_it(artifact, monkeypatch):
    monkeypatch.setattr(tensorrt, "CARDS", ())
    monkeypatch.setattr(tensorrt, "which", lambda name: None)
    assert absence() == RUNTIME.lacking == "not run: no NVIDIA card here"
    with pytest.raises(
        MissingPackage, match="tensorrt, not run: no NVIDIA card here; expected a machine that has it"
    ) as said:
        load(artifact(runtime="tensorrt"))
    assert said.value.todo.startswith("run there: python -m venv ")
    assert said.value.todo.endswith("/galenic/envs/tensorrt/bin/pip install 'galenic[tensorrt]'")


def test_a_card_without_the_provider_is_a_runtime_that_is_not_installed(card, artifact, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert (RUNTIME.available, RUNTIME.lacking) == (False, "not installed")
    with pytest.raises(MissingPackage, match=r"tensorrt, which is not installed here; .*run: python -m venv"):
        load(artifact(runtime="tensorrt"))


@pytest.mark.parametrize("found", ["card", "nvidia-smi"])
def test_a_card_is_known_by_its_driver(found, monkeypatch, tmp_path):
    (tmp_path / "card").touch()
    monkeypatch.setattr(tensorrt, "CARDS", (tmp_path / found,))
    there: Callable[[str], str | None] = lambda name: f"/bin/{name}" if name == found else None  # noqa: E731
    monkeypatch.setattr(tensorrt, "which", there)
    assert absence() == ""


def test_a_changed_file_is_refused_before_onnxruntime_sees_it(card, artifact):
    made = artifact(runtime="tensorrt")
    made.path.write_bytes(made.path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="has changed"):
        load(made)
    with pytest.raises(InputError, match="0 threads"):
        load(made, threads=0)
