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

from galenic.exporters.executorch import EXPORTER, export
from galenic.record.artifact import Artifact
from galenic.record.errors import MissingPackage, ModelError
from galenic.runtimes.executorch import RUNTIME
from galenic.runtimes.load import open_session
from galenic.zoo.build import build
from galenic.zoo.macs import count_macs
from galenic.zoo.model import Model, parameters

ANOTHER_PROCESS = """
import sys
from pathlib import Path
from galenic.exporters.executorch import export
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
def lowered(wrap, ends, tmp_path_factory) -> Callable[[str], tuple[Model, Artifact]]:
    """A net of NETS with its file, which is made once."""
    folder, made = tmp_path_factory.mktemp("executorch"), dict[str, tuple[Model, Artifact]]()

    def lower(name: str) -> tuple[Model, Artifact]:
        if name not in made:
            make, shape = NETS[name]
            model = wrap(make(), shape, 3)
            made[name] = model, export(model, folder / f"{name}.pte", **ends(model))
        return made[name]

    return lower


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_the_file_answers_as_torch_does_for_any_number_of_rows(name, lowered, rows):
    model, artifact = lowered(name)
    with open_session(artifact) as session:
        for n in (1, 3, 7):
            inputs = rows(n, model.spec.input_shape)
            with torch.no_grad():
                expected = model.module(torch.from_numpy(inputs)).numpy()
            assert np.abs(session.run(inputs) - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.slow
def test_the_artifact_says_what_the_file_is(lowered):
    model, artifact = lowered("mlp")
    data = artifact.path.read_bytes()
    assert (artifact.sha256, artifact.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (artifact.runtime, artifact.precision, artifact.quant, artifact.integer_ops) == (
        "executorch",
        "float32",
        None,
        None,
    )
    # 30 * 64 + 64 * 32 + 32 * 3 products; and 64 + 32 + 3 biases besides
    assert (artifact.macs, artifact.parameters) == (4064, 4163) == (count_macs(model), parameters(model))
    assert (artifact.lineage, artifact.classes) == (("made here",), ("class 0", "class 1", "class 2"))
    assert [path.name for path in artifact.path.parent.glob("mlp*")] == ["mlp.pte"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_the_file_is_xnnpacks_and_names_nothing_of_this_machine(name, lowered):
    _, artifact = lowered(name)
    data = artifact.path.read_bytes()
    assert b"XnnpackBackend" in data
    # A program lists the operations that it calls outside of XNNPACK.
    assert not [op for op in (b"aten::convolution", b"aten::addmm", b"aten::mm", b"aten::linear") if op in data]
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


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_here_and_in_another_process_which_says_nothing(ends, tmp_path):
    model = build("mlp", (30,), 3)
    first, second = (export(model, tmp_path / f"{n}.pte", **ends(model)).sha256 for n in range(2))
    environment = {**os.environ, "PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", ANOTHER_PROCESS, str(tmp_path / "other.pte")]
    child = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert child.stderr == ""
    assert child.stdout.split() == [first] == [second]


@pytest.mark.slow
def test_how_the_weights_lie_in_memory_does_not_change_the_bytes(lowered, ends, tmp_path):
    model, artifact = lowered("conv")
    module = small_net().eval()
    module.load_state_dict(model.module.state_dict())
    module.to(memory_format=torch.channels_last)
    other = export(replace(model, module=module), tmp_path / "model.pte", **ends(model))
    assert other.sha256 == artifact.sha256
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_exporting_says_nothing_and_leaves_everything_as_it_was(known, wrap, ends, tmp_path, capfd):
    model = wrap(known, (2,), 3)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    world = (list(logging.root.handlers), logging.root.level, logging.root.manager.disable, list(warnings.filters))
    export(model, tmp_path / "model.pte", **ends(model))
    assert capfd.readouterr() == ("", "")
    assert world == (
        list(logging.root.handlers),
        logging.root.level,
        logging.root.manager.disable,
        list(warnings.filters),
    )
    assert not any(part.training for part in model.module.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Wrong(nn.Module):
    def forward(self, x):
        return x.unsqueeze(1) * 2


class Twice(nn.Module):
    def forward(self, x):
        return x, x * 2


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Branching(), "ExecuTorch cannot lower it"),
        (Wrong(), r"it answers float32 of shape \(1, 1, 3\)"),
        (Twice(), "it answers 2 tensors"),
    ],
)
def test_a_module_that_cannot_be_a_file_is_refused(module, why, wrap, ends, tmp_path, capfd):
    model = wrap(module, (3,), 3)
    with pytest.raises(ModelError, match=f"made here cannot become an ExecuTorch file: {why}"):
        export(model, tmp_path / "model.pte", **ends(model))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_layers_that_xnnpack_does_not_compute_are_named(wrap, ends, tmp_path):
    class Volume(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv3d(1, 2, 3)
            self.head = nn.Linear(2, 3)

        def forward(self, x):
            return self.head(self.stem(x.unsqueeze(1)).mean((2, 3, 4)))

    model = wrap(Volume(), (4, 5, 5), 3)
    with pytest.raises(ModelError, match="XNNPACK does not compute stem; expected convolutions over one or two"):
        export(model, tmp_path / "model.pte", **ends(model))
    assert not list(tmp_path.iterdir())


class Reading(nn.Module):
    vocabulary = 9


def test_a_text_net_is_refused(ends, tmp_path, wrap):
    model = replace(wrap(nn.Linear(2, 3), (2,), 3), module=Reading().eval())
    with pytest.raises(ModelError, match="ExecuTorch text nets are not supported yet"):
        export(model, tmp_path / "model.pte", **ends(model))
    assert not EXPORTER.text


def test_a_model_in_training_is_refused(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3)
    model.module.train()
    with pytest.raises(ModelError, match="it is in training mode"):
        export(model, tmp_path / "model.pte", **ends(model))


def test_a_model_for_another_task_is_refused_with_both_numbers(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3)
    with pytest.raises(ModelError, match="has 3 outputs; expected 2"):
        export(model, tmp_path / "model.pte", **(ends(model) | {"classes": ("a", "b")}))


def test_where_executorch_is_not_installed_the_command_is_named(known, wrap, ends, tmp_path, monkeypatch):
    model = wrap(known, (2,), 3)
    monkeypatch.setitem(sys.modules, "executorch", None)  # makes the import really impossible
    with pytest.raises(MissingPackage, match=r"executorch; run: pip install 'galenic\[executorch\]'"):
        export(model, tmp_path / "model.pte", **ends(model))
    assert EXPORTER.install == RUNTIME.install
