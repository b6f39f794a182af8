import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from galenic.exporters.load import exporter_for
from galenic.exporters.onnxruntime import EXPORTER
from galenic.record.errors import ModelError, RecipeError, StoreError
from galenic.runtimes.load import open_session
from galenic.zoo.build import build

TWICE = """
import torch
from pathlib import Path
from galenic.exporters.onnxruntime import EXPORTER
from galenic.record.preprocessing import Preprocessing
from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.static import Choices, Rows, quantize_static
from galenic.record.quant import Observer, QuantRule
from galenic.zoo.build import build
import sys
torch.set_num_threads(1)
model = build("ds_conv1d", (2, 32), 3, seed=0)
preprocessing = Preprocessing(modality="signal", raw_shape=(32, 2), scale=1.0, mean=(0.0,) * 2, std=(1.0,) * 2)
rows = torch.randn(40, 2, 32, generator=torch.Generator().manual_seed(0)).numpy()
rows = Rows(in_batches(rows), in_batches(rows))
for name, one in (("float", model), ("int8", quantize_static(model, QuantRule(), rows, Choices(Observer.MSE)))):
    path = Path(sys.argv[1]) / f"{name}.onnx"
    ends = {"preprocessing": preprocessing, "classes": ("a", "b", "c")}
    made = EXPORTER.export(one, path, **ends)
    print(made.sha256)
"""


@pytest.mark.parametrize(("name", "shape"), [("resnet20", (1, 16, 16)), ("mlp", (30,))])
def test_the_file_answers_as_torch_does_at_any_batch_size(name, shape, wrap, ends, rows, tmp_path):
    model = wrap(build(name, shape, 3, seed=0).module, shape, 3)
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    session = open_session(artifact)
    for n in (1, 7):
        inputs = rows(n, shape)
        with torch.no_grad():
            expected = model.module(torch.from_numpy(inputs)).numpy()
        assert np.abs(session.run(inputs) - expected).max() < 1e-4


def test_the_file_holds_no_paths_of_this_machine(wrap, ends, tmp_path):
    model = wrap(build("resnet8", (1, 12, 12), 3, seed=0).module, (1, 12, 12), 3)
    data = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model)).path.read_bytes()
    for path in (
        os.getcwd(),
        str(Path(torch.__file__).parents[1]),
        str(Path.home()),
        str(tmp_path),
        "site-packages",
        ".py",
    ):
        assert path.encode() not in data
    graph = onnx.load_from_string(data)
    assert {entry.key for entry in graph.metadata_props} == {"galenic.classes", "galenic.preprocessing"}
    assert not any(node.doc_string or node.metadata_props for node in graph.graph.node)


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_in_two_processes(tmp_path):
    running = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", TWICE, str(folder)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder))
    said = [child.communicate()[0].split() for child in running]
    assert len(said[0]) == 2
    assert said[0] == said[1]


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Wrong(nn.Module):
    def forward(self, x):
        return x.unsqueeze(1)


@pytest.mark.parametrize(
    ("module", "why"), [(Branching(), "torch cannot trace it"), (Wrong(), "it answers FLOAT of shape")]
)
def test_a_module_that_cannot_be_a_file_is_refused(module, why, wrap, ends, tmp_path):
    model = wrap(module, (3,), 3)
    with pytest.raises(ModelError, match=f"made here cannot become an ONNX file: {why}"):
        EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    assert not list(tmp_path.iterdir())


@contextlib.contextmanager
def small_disk(folder: Path):
    """A disk of 64 kB where one can be mounted, else a limit on the size of files: both refuse the write itself."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if mounted != 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if mounted == 0:
            subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_file_that_was_there(known, wrap, ends, rows, tmp_path):
    small, large = wrap(known, (2,), 3), wrap(nn.Linear(10_000, 3), (10_000,), 3)
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "model.onnx"
        kept = EXPORTER.export(small, path, **ends(small))
        with pytest.raises(StoreError, match=r"could not be written .* what was there before is unchanged"):
            EXPORTER.export(large, path, **ends(large))
        assert open_session(kept).run(rows(2, (2,))).shape == (2, 3)
        assert os.listdir(disk) == ["model.onnx"]


def test_a_folder_that_cannot_be_written_is_said(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="could not be written"):
        EXPORTER.export(model, tmp_path / "file" / "model.onnx", **ends(model))


def test_exporters_are_found_by_runtime():
    assert exporter_for("onnxruntime").suffix == ".onnx"
    with pytest.raises(RecipeError, match="no exporter writes for"):
        exporter_for("abacus")
