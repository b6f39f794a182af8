"""``galenic predict``: a file that galenic exported answers pictures in its own runtime, as it does in a task."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from dicom_files import dicom
from galenic.cli.main import app
from galenic.exporters.load import exporter_for
from galenic.pipeline.card import write_card
from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, InputError
from galenic.record.preprocessing import Frames, Modality, Picture, Preprocessing
from galenic.record.task import TaskKind
from galenic.runtimes.load import open_session
from galenic.zoo.build import build

SPEC = Preprocessing(
    modality=Modality.IMAGE,
    raw_shape=(8, 8, 1),
    scale=1 / 255,
    mean=(0.5,),
    std=(0.25,),
    picture=Picture(frames=Frames.ALL),
)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8)).astype(np.uint8)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    model = build("resnet8", SPEC.input_shape, 3, options={"width": 0.25})
    with torch.no_grad():
        [part for part in model.module.modules() if isinstance(part, torch.nn.Linear)][-1].weight.mul_(12)
    path = tmp_path_factory.mktemp("file") / "m.onnx"
    made = exporter_for("onnxruntime").export(model, path, preprocessing=SPEC, classes=("a", "b [x]", "c"))
    made = made.model_copy(update={"kind": TaskKind.SINGLE_LABEL})
    write_card(made, path)
    return made


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    """A clip of two frames, and the first of them as a PNG."""
    data = BytesIO()
    Image.fromarray(PIXELS[0]).save(data, "PNG")
    (tmp_path / "one.png").write_bytes(data.getvalue())
    (tmp_path / "clip.dcm").write_bytes(dicom(PIXELS))
    return tmp_path / "clip.dcm", tmp_path / "one.png"


def run(*given: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, given)], env={"COLUMNS": "120", "NO_COLOR": "1"})


def test_probabilities_are_those_of_the_session(artifact: Artifact, pictures: tuple[Path, Path]) -> None:
    inputs = ((PIXELS / np.float32(255) - np.float32(0.5)) / np.float32(0.25))[:, None].astype(np.float32)
    logits = open_session(artifact).run(inputs)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = json.loads(run(artifact.path, *pictures, "--json").output)
    assert (found["sha256"], found["runtime"]) == (artifact.sha256, "onnxruntime")
    assert [(Path(one["picture"]).name, one["row"], one["rows"]) for one in found["answers"]] == [
        ("clip.dcm", 1, 2), ("clip.dcm", 2, 2), ("one.png", 1, 1)
    ]  # fmt: skip
    for one, row in zip(found["answers"], (0, 1, 0), strict=True):
        assert list(one["probabilities"]) == ["a", "b [x]", "c"]
        assert list(one["probabilities"].values()) == pytest.approx(wanted[row], abs=1e-5)
        assert list(one["logits"].values()) == pytest.approx(logits[row], abs=1e-5)
        assert one["decision"] == artifact.classes[wanted[row].argmax()]


def test_what_is_shown_begins_with_the_most_probable_class(artifact: Artifact, pictures: tuple[Path, Path]) -> None:
    lines = run(artifact.path, pictures[0]).output.splitlines()
    assert lines[0] == f"{pictures[0]}, frame 1 of 2"
    shares = [float(line.split()[-2]) for line in lines[1:4]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert "b [x]" in run(artifact.path, pictures[1]).output
    assert run(artifact.path, pictures[1]).output.startswith(f"{pictures[1]}\n")


def test_several_labels_are_decided_one_by_one(artifact: Artifact, pictures: tuple[Path, Path]) -> None:
    (one,) = json.loads(run(artifact.path, pictures[1], "--kind", "multi-label", "--json").output)["answers"]
    assert one["decision"] == [name for name, logit in one["logits"].items() if logit > 0]


def test_what_cannot_be_is_refused(artifact: Artifact, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(artifact.path.read_bytes())
    error = run(alone, pictures[1]).exception
    assert isinstance(error, InputError)
    assert "does not say whether its classes exclude each other" in error.given
    assert run(alone, pictures[1], "--kind", "single-label").exit_code == 0, "the rest is inside of the file"
    burned = tmp_path / "burned.dcm"
    burned.write_bytes(dicom(PIXELS, BurnedInAnnotation="YES"))
    assert isinstance(run(artifact.path, burned).exception, DataError)
    assert run(artifact.path, burned, "--burned-in").exit_code == 0
