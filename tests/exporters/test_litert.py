import hashlib
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from galenic.exporters.litert import EXPORTER, export
from galenic.exporters.litert_file import kinds, unpacked
from galenic.record.artifact import Artifact
from galenic.record.errors import MissingPackage, ModelError
from galenic.runtimes.litert import RUNTIME
from galenic.runtimes.load import open_session
from galenic.zoo.build import build
from galenic.zoo.macs import count_macs
from galenic.zoo.model import Model, parameters

ROOT = Path(__file__).parents[2]

ANOTHER_PROCESS = """
import sys
from pathlib import Path
from galenic.exporters.litert import export
from galenic.record.preprocessing import Preprocessing
from galenic.zoo.build import build
preprocessing = Preprocessing(modality="table", raw_shape=(30,), scale=1.0, mean=(0.0,) * 30, std=(1.0,) * 30)
made = export(build("mlp", (30,), 3), Path(sys.argv[1]), preprocessing=preprocessing, classes=("a", "b", "c"))
print(made.sha256)
"""


def small_net() -> nn.Module:
    """An odd-sized image through a convolution, a pool and a dense layer."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv": (small_net, (1, 9, 12)),
    "mobilenet_v3_small": (lambda: build("mobilenet_v3_small", (3, 32, 32), 3).module, (3, 32, 32)),
    "ds_conv1d": (lambda: build("ds_conv1d", (2, 65), 3).module, (2, 65)),
    "mlp": (lambda: build("mlp", (30,), 3).module, (30,)),
}


@pytest.fixture(scope="session")
def converted(wrap, ends, tmp_path_factory) -> Callable[[str], tuple[Model, Artifact]]:
    """A net of NETS with its file, which is made once."""
    folder, made = tmp_path_factory.mktemp("litert"), dict[str, tuple[Model, Artifact]]()

    def convert(name: str) -> tuple[Model, Artifact]:
        if name not in made:
            make, shape = NETS[name]
            model = wrap(make(), shape, 3)
            made[name] = model, export(model, folder / f"{name}.tflite", **ends(model))
        return made[name]

    return convert


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_the_file_answers_as_torch_does_for_any_number_of_rows(name, converted, rows):
    model, artifact = converted(name)
    session = open_session(artifact)
    for n in (1, 3, 7):
        inputs = rows(n, model.spec.input_shape)
        with torch.no_grad():
            expected = model.module(torch.from_numpy(inputs)).numpy()
        assert np.abs(session.run(inputs) - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.slow
def test_the_artifact_says_what_the_file_is(converted):
    model, artifact = converted("mlp")
    data = artifact.path.read_bytes()
    assert (artifact.sha256, artifact.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (artifact.runtime, artifact.precision, artifact.quant, artifact.integer_ops) == (
        "litert",
        "float32",
        None,
        None,
    )
    # 30 * 64 + 64 * 32 + 32 * 3 products; and 64 + 32 + 3 biases besides
    assert (artifact.macs, artifact.parameters) == (4064, 4163) == (count_macs(model), parameters(model))
    assert (artifact.lineage, artifact.classes) == (("made here",), ("class 0", "class 1", "class 2"))
    assert [path.name for path in artifact.path.parent.glob("mlp*")] == ["mlp.tflite"]


@pytest.mark.slow
def test_the_file_names_layers_by_their_modules_and_nothing_of_this_machine(converted):
    model, artifact = converted("mobilenet_v3_small")
    data = artifact.path.read_bytes()
    paths = (
        os.getcwd(),
        str(Path.home()),
        str(artifact.path.parent),
        "site-packages",
        ".py",
        "torch.nn",
        "galenic.zoo",
    )
    assert not [path for path in paths if path.encode() in data]
    file = unpacked(data)
    graph = file.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    assert len(set(names)) == len(names)
    layers = {
        names[operator.outputs[0]]
        for kind, operator in zip(kinds(file), graph.operators, strict=True)
        if kind in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    }
    *inner, _ = (path for path, part in model.module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear))
    assert layers == {*inner, "logits"}


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_here_and_in_another_process_which_says_nothing(ends, tmp_path):
    model = build("mlp", (30,), 3)
    first, second = (export(model, tmp_path / f"{n}.tflite", **ends(model)).sha256 for n in range(2))
    environment = {**os.environ, "PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", ANOTHER_PROCESS, str(tmp_path / "other.tflite")]
    child = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert child.stderr == ""
    assert child.stdout.split() == [first] == [second]


@pytest.mark.slow
def test_exporting_says_nothing_and_leaves_everything_as_it_was(known, wrap, ends, tmp_path, capfd):
    model = wrap(known, (2,), 3)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    world = (list(logging.root.handlers), logging.root.manager.disable, list(warnings.filters))
    shown = os.environ.get("LITERT_TORCH_SHOW_PROGRESS")
    export(model, tmp_path / "model.tflite", **ends(model))
    assert capfd.readouterr() == ("", "")
    assert world == (list(logging.root.handlers), logging.root.manager.disable, list(warnings.filters))
    assert os.environ.get("LITERT_TORCH_SHOW_PROGRESS") == shown
    assert not any(part.training for part in model.module.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Wrong(nn.Module):
    def forward(self, x):
        return x.unsqueeze(1) * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "why"),
    [(Branching(), "litert-torch cannot convert it"), (Wrong(), r"it answers float32 of shape \(1, 1, 3\)")],
)
def test_a_module_that_cannot_be_a_file_is_refused(module, why, wrap, ends, tmp_path):
    model = wrap(module, (3,), 3)
    with pytest.raises(ModelError, match=f"made here cannot become a LiteRT file: {why}"):
        export(model, tmp_path / "model.tflite", **ends(model))
    assert not list(tmp_path.iterdir())


class Reading(nn.Module):
    vocabulary = 9


def test_a_text_net_is_refused(ends, tmp_path, wrap):
    model = replace(wrap(nn.Linear(2, 3), (2,), 3), module=Reading().eval())
    with pytest.raises(ModelError, match="LiteRT text nets are not supported yet"):
        export(model, tmp_path / "model.tflite", **ends(model))
    assert not EXPORTER.text


def test_a_model_in_training_is_refused(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3)
    model.module.train()
    with pytest.raises(ModelError, match="it is in training mode"):
        export(model, tmp_path / "model.tflite", **ends(model))


def test_a_model_for_another_task_is_refused_with_both_numbers(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3)
    with pytest.raises(ModelError, match="has 3 outputs; expected 2"):
        export(model, tmp_path / "model.tflite", **(ends(model) | {"classes": ("a", "b")}))


def test_where_the_converter_is_not_installed_the_two_commands_are_named(known, wrap, ends, tmp_path, monkeypatch):
    model = wrap(known, (2,), 3)
    monkeypatch.setattr("galenic.exporters.exporter.find_spec", lambda name: None if name == "litert_torch" else name)
    with pytest.raises(MissingPackage, match=r"package litert_torch; run: pip install 'galenic\[litert\]' && pip"):
        export(model, tmp_path / "model.tflite", **ends(model))


def test_the_command_that_installs_it_is_the_makefiles_with_the_pinned_versions():
    second = EXPORTER.install.split(" && ")[1]
    assert RUNTIME.install == EXPORTER.install
    assert second.removeprefix("pip install ") in (ROOT / "Makefile").read_text()
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert {"litert-torch==0.10.0", "litert-converter==0.5.0"} == set(second.split()[3:]) <= set(pins)
