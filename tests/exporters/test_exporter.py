"""What every exporter does, whatever its runtime."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.places import logits
from galenic.compress.quantize.simulate import simulated
from galenic.exporters.exporter import Exporter
from galenic.exporters.load import EXPORTERS
from galenic.record.errors import MissingPackage, ModelError
from galenic.record.quant import QuantRule, QuantSpec, TensorRole
from galenic.runtimes.load import open_session, runtime_named
from galenic.zoo.build import build
from galenic.zoo.graph import traced
from galenic.zoo.macs import count_macs
from galenic.zoo.model import parameters


def _these(exporters: Sequence[Exporter]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("exporter", exporters, ids=lambda exporter: exporter.runtime)


def _holds_integers(exporter: Exporter) -> bool:
    try:
        exporter.check_rule(QuantRule())
    except ModelError:
        return False
    return True


every_exporter = _these(EXPORTERS)
float_exporters = _these([one for one in EXPORTERS if not one.float_runtime])
integer_exporters = _these([one for one in EXPORTERS if _holds_integers(one)])


def _skip_where_it_cannot_run(exporter: Exporter) -> None:
    """Before its file is run: some runtimes need a card that this machine may not have."""
    runtime = runtime_named(exporter.runtime)
    if runtime.absence is not None and runtime.absence():
        pytest.skip(f"{exporter.runtime}, {runtime.absence()}")


ANOTHER_PROCESS = """
import sys
from pathlib import Path
from galenic.exporters.load import exporter_for
from galenic.record.preprocessing import Preprocessing
from galenic.zoo.build import build
preprocessing = Preprocessing(modality="table", raw_shape=(30,), scale=1.0, mean=(0.0,) * 30, std=(1.0,) * 30)
model, exporter = build("mlp", (30,), 3), exporter_for(sys.argv[1])
print(exporter.export(model, Path(sys.argv[2]), preprocessing=preprocessing, classes=("class 0", "class 1", "class 2")).sha256)
"""


@float_exporters
@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "mobilenet_v3_small", "ds_conv1d", "mlp"])
def test_the_file_answers_as_torch_does_for_any_number_of_rows(exporter: Exporter, name, exported, rows) -> None:
    model, artifact = exported(exporter, name)
    _skip_where_it_cannot_run(exporter)
    session = open_session(artifact)
    assert session.place.runtime == exporter.runtime
    for n in (1, 3, 7):
        inputs = rows(n, model.spec.input_shape)
        with torch.no_grad():
            expected = model.module(torch.from_numpy(inputs)).numpy()
        assert np.abs(session.run(inputs) - expected).max() < 1e-4 * np.abs(expected).max()


@float_exporters
@pytest.mark.slow
def test_the_artifact_says_what_the_file_is(exporter: Exporter, exported) -> None:
    model, artifact = exported(exporter, "mlp")
    data = artifact.path.read_bytes()
    assert (artifact.sha256, artifact.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (artifact.runtime, artifact.precision) == (exporter.runtime, "float32")
    assert (artifact.quant, artifact.integer_ops) == (None, None)
    # 30 * 64 + 64 * 32 + 32 * 3 products; and 64 + 32 + 3 biases besides
    assert (artifact.macs, artifact.parameters) == (4064, 4163) == (count_macs(model), parameters(model))
    assert (artifact.lineage, artifact.classes) == (("made here",), ("class 0", "class 1", "class 2"))
    assert [path.name for path in artifact.path.parent.glob("mlp*")] == [f"mlp{exporter.suffix}"]


@float_exporters
@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "mlp"])
def test_the_file_names_nothing_of_this_machine(exporter: Exporter, name, exported) -> None:
    _, artifact = exported(exporter, name)
    data, own = artifact.path.read_bytes(), (os.getcwd(), str(Path.home()), str(artifact.path.parent))
    found = [text for text in (*own, "site-packages", "torch.nn", "galenic.zoo") if text.encode() in data]
    assert not found
    assert not re.findall(rb"[\w/]+\.py\b", data)


@float_exporters
@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_in_another_process_which_says_nothing(
    exporter: Exporter, ends, tmp_path
) -> None:
    model = build("mlp", (30,), 3)
    first, second = (exporter.export(model, tmp_path / f"{n}", **ends(model)).sha256 for n in range(2))
    environment = {**os.environ, "PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", ANOTHER_PROCESS, exporter.runtime, str(tmp_path / "other")]
    child = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert child.stderr == ""
    assert child.stdout.split() == [first] == [second]


@float_exporters
@pytest.mark.slow
def test_how_the_weights_lie_in_memory_does_not_change_the_bytes(exporter: Exporter, exported, ends, tmp_path) -> None:
    model, artifact = exported(exporter, "conv")
    module = exported.made("conv").module
    module.load_state_dict(model.module.state_dict())
    module.to(memory_format=torch.channels_last)
    other = exporter.export(replace(model, module=module), tmp_path / "model", **ends(model))
    assert other.sha256 == artifact.sha256
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)


@float_exporters
@pytest.mark.slow
def test_exporting_says_nothing_and_leaves_everything_as_it_was(
    exporter: Exporter, known, wrap, ends, tmp_path, capfd
) -> None:
    def world():
        root = logging.root
        return (list(root.handlers), root.level, root.manager.disable, list(warnings.filters), dict(os.environ))

    model = wrap(known, (2,), 3)
    weights = {name: value.clone() for name, value in model.module.state_dict().items()}
    before = world()
    exporter.export(model, tmp_path / "model", **ends(model))
    assert capfd.readouterr() == ("", "")
    assert world() == before
    assert not any(part.training for part in model.module.modules())
    assert all(torch.equal(value, weights[name]) for name, value in model.module.state_dict().items())


class Parted(nn.Module):
    """Two halves that go ways of their own, as in ShuffleNet, a sum of a layer and what it took, and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.after, self.gate, self.head = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.stem(x).relu().chunk(2, dim=1)
        joined = torch.cat([self.left(left), self.right(right).relu()], dim=1)
        pooled = (self.after(joined) + joined).relu().mean((2, 3), keepdim=True)
        answer: torch.Tensor = self.head((pooled * torch.sigmoid(self.gate(pooled))).flatten(1))
        return answer


@integer_exporters
@pytest.mark.slow
def test_a_net_of_parts_sums_and_gates_is_integer_and_its_simulation(
    exporter: Exporter, wrap, integers, ends, rows, tmp_path
) -> None:
    shape = (3, 8, 8)
    model = integers(wrap(Parted(), shape, 3), rows(64, shape))
    artifact = exporter.export(model, tmp_path / "model", **ends(model))
    assert artifact.integer_ops is not None
    assert artifact.quant is not None
    assert (artifact.integer_ops.integer, artifact.integer_ops.left_float) == (6, ())
    graph, inputs = traced(model), rows(50, shape, seed=3)
    rounded = {point.tensor for point in artifact.quant.points if point.role is not TensorRole.WEIGHT}
    free = () if logits(graph) in rounded else (logits(graph),)
    with torch.no_grad():
        expected = simulated(graph, artifact.quant.points, torch.from_numpy(inputs), free).numpy()
    _skip_where_it_cannot_run(exporter)
    found = open_session(artifact).run(inputs)
    assert np.median(np.abs(found - expected)) < 1e-5 * np.abs(expected).max()


@every_exporter
def test_a_model_for_another_task_is_refused_with_both_numbers(exporter: Exporter, known, wrap, ends, tmp_path) -> None:
    model, other = wrap(known, (2,), 3), wrap(nn.Linear(4, 3), (4,), 3)
    with pytest.raises(ModelError, match="has 3 outputs; expected 2"):
        exporter.export(model, tmp_path / "model", **(ends(model) | {"classes": ("a", "b")}))
    with pytest.raises(ModelError, match=r"inputs of shape \(2,\); expected \(4,\)"):
        exporter.export(model, tmp_path / "model", **ends(other))
    assert not list(tmp_path.iterdir())


@every_exporter
def test_a_model_in_training_is_refused(exporter: Exporter, known, wrap, ends, tmp_path) -> None:
    model = wrap(known, (2,), 3)
    model.module.train()
    with pytest.raises(ModelError, match="it is in training mode"):
        exporter.export(model, tmp_path / "model", **ends(model))


@integer_exporters
def test_bits_that_it_cannot_compute_are_refused_before_any_work(
    exporter: Exporter, known, wrap, ends, tmp_path, monkeypatch
) -> None:
    model = wrap(known, (2,), 3, QuantRule(activation_bits=4))
    unused = replace(exporter, lower=lambda model: pytest.fail("it was lowered"))
    with pytest.raises(ModelError, match=f"with 4-bit activations for {exporter.runtime}"):
        unused.export(model, tmp_path / "model", **ends(model))
    exporter.check_rule(QuantRule())


@integer_exporters
def test_points_for_other_weights_or_none_are_refused(
    exporter: Exporter, known, wrap, integers, ends, tmp_path
) -> None:
    model = integers(wrap(known, (2,), 3), np.array([[-1.0, 0.5], [3.0, 2.0]], np.float32))
    with torch.no_grad():
        model.module[0].weight.mul_(2)
    with pytest.raises(ModelError, match="a quantization of made here for other weights"):
        exporter.export(model, tmp_path / "model", **ends(model))
    bare = replace(wrap(known, (2,), 3), quant=QuantSpec(rule=QuantRule()))
    with pytest.raises(ModelError, match="a quantization of made here without any scale"):
        exporter.export(bare, tmp_path / "model", **ends(bare))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("exporter", [one for one in EXPORTERS if not one.text], ids=lambda exporter: exporter.runtime)
def test_a_text_net_is_refused_where_it_says_so(exporter: Exporter, ends, tmp_path, wrap) -> None:
    class Reading(nn.Module):
        vocabulary = 9

    model = replace(wrap(nn.Linear(2, 3), (2,), 3), module=Reading().eval())
    with pytest.raises(ModelError, match="its text nets are not supported yet"):
        exporter.export(model, tmp_path / "model", **ends(model))


@pytest.mark.parametrize("exporter", [one for one in EXPORTERS if one.needs], ids=lambda exporter: exporter.runtime)
def test_where_its_converter_is_not_installed_the_command_is_named(
    exporter: Exporter, known, wrap, ends, tmp_path, monkeypatch
) -> None:
    model, missing = wrap(known, (2,), 3), exporter.needs[0]
    monkeypatch.setattr("galenic.exporters.exporter.find_spec", lambda name: None if name == missing else name)
    with pytest.raises(MissingPackage, match=f"package {missing}; run: pip install 'galenic") as refused:
        exporter.export(model, tmp_path / "model", **ends(model))
    assert exporter.install in str(refused.value)
