"""``galenic distill``: suggestions that run as they are pasted, the probe alone, and a distillation that reads no test set."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from galenic.cli.main import app
from galenic.pipeline import file_stages
from galenic.pipeline.plan import make_plan
from galenic.pipeline.recipes import load_recipe, parse_recipe
from galenic.record.distillation import DistillationResult
from galenic.record.errors import GalenicError, InputError, ModelError, RecipeError
from galenic.record.task import SplitName
from galenic.store.files import file_sha256
from galenic.zoo.build import build
from galenic.zoo.saving import save_model

EXACT = 'flips = "none"\nprecision = "float32"\nmemory_format = "contiguous"\n'
HEAD = 'name = "small"\nthreads = 1\n[gate.margins]\nauc = 0.1\n[measure]\nruns = 20\nwarmup = 1\n'
TABLE = """
[task]
source = "wisconsin"
[reference]
model = "mlp"
options = { hidden = [32, 16] }
[student]
model = "mlp"
options = { hidden = [8] }
"""
TEACHER = f"[reference.training]\nepochs = 6\nlearning_rate = 1e-2\n{EXACT}"
ALONE = f"[student.training]\nepochs = 4\nlearning_rate = 1e-2\n{EXACT}"
TAUGHT = '[[phase]]\nmethod = "soft_target"\n[phase.options.soft_target]\nviews = 1\n[phase.training]\nepochs = {}\n{}'
TAUGHT_BRIEFLY = TAUGHT.format(5, f"learning_rate = 1e-2\n{EXACT}")
INT8 = '[[phase]]\nmethod = "static_int8"\n'
IMAGES = """
[task]
source = "digits"
[reference]
model = "resnet20"
weights = "nowhere.safetensors"
[student]
model = "resnet8"
options = { width = 0.5 }
"""


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galenic.cli.distill.output.width", 200)


def distill(folder: Path, recipe: str, *options: str) -> Result:
    path = folder / "r.toml"
    path.write_text(recipe)
    return CliRunner().invoke(app, ["distill", str(path), "--store", str(folder / "store"), *options])


def shown(result: Result) -> str:
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.output


def words(text: str) -> str:
    return " ".join(text.split())


def refused(result: Result) -> GalenicError:
    assert isinstance(result.exception, GalenicError), result.output
    return result.exception


@pytest.mark.slow
def test_the_students_file_and_the_comparison_are_written_and_the_test_set_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[SplitName] = []
    predict = file_stages.predict
    monkeypatch.setattr(file_stages, "predict", lambda *given: read.append(given[2]) or predict(*given))
    text = shown(distill(tmp_path, HEAD + TABLE + TEACHER + ALONE + TAUGHT_BRIEFLY + INT8))
    assert set(read) == {SplitName.VALIDATION}
    assert not (tmp_path / "store" / "ledger.jsonl").exists()
    (folder,) = (tmp_path / "store" / "runs").iterdir()
    assert not (folder / "report.json").exists()
    result = DistillationResult.model_validate_json((folder / "comparison.json").read_text())
    assert [file.id for file in result.files] == ["reference", "alone", "1-soft_target"], "the INT8 phase is left out"
    for file in result.files:
        assert file_sha256(folder / file.path) == file.sha256
        assert json.loads((folder / f"{file.path}.json").read_text())["sha256"] == file.sha256
        assert file.title in text
        assert (file.gain is None) is (file.id == "alone")
    auc = {file.id: file.metrics["auc"].value for file in result.files}
    assert result.files[2].gain is not None
    assert result.files[2].gain.value == pytest.approx(auc["1-soft_target"] - auc["alone"], abs=1e-12)
    assert result.probe is not None
    assert f"• {result.probe.sentence}" in words(text)
    assert result.probe.teacher_gain is not None
    assert result.probe.teacher_gain.value == pytest.approx(auc["reference"] - auc["alone"], abs=1e-12)
    assert "the test set was not read" in text
    assert str(folder / "files") in text


@pytest.mark.slow
def test_the_probe_alone_warns_of_a_teacher_that_was_never_trained(tmp_path: Path) -> None:
    untrained = build("mlp", (30,), 2, seed=3, options={"hidden": [32, 16]})
    save_model(untrained, tmp_path / "untrained")
    (weights,) = (tmp_path / "untrained").glob("*.safetensors")
    trusted = TABLE.replace("[student]", f'weights = "{weights}"\n[student]')
    slow = TAUGHT.format(7, f"learning_rate = 1e-2\n{EXACT}")
    text = words(shown(distill(tmp_path, HEAD + trusted + ALONE + slow, "--probe")))
    assert "expected to hurt" in text
    assert "the students after 3 epochs" in text, "whatever the recipe says of the student alone"
    assert not (tmp_path / "store" / "runs").exists()
    assert not (tmp_path / "store" / "ledger.jsonl").exists()


def test_suggested_pairs_are_shown_with_shapes_and_run_as_they_are_pasted(tmp_path: Path) -> None:
    text = shown(distill(tmp_path, HEAD + IMAGES, "--suggest"))
    assert not (tmp_path / "store").exists(), "nothing was trained, and the weights were not looked for"
    assert "resnet8 learns from resnet20" in text
    rows = re.findall(r"^(\S+) +\((\d+), (\d+), (\d+)\) +(\S+) +\((\d+), (\d+), (\d+)\) +(needed|no) *$", text, re.M)
    assert len(rows) == 3
    for row in rows:
        assert (row[2], row[3]) == (row[6], row[7]), "stages of one resolution"
        assert row[8] == "needed", "the teacher has twice the channels"
    options = tomllib.loads(text[text.index("[phase.options.feature_matching]") :])["phase"]["options"]
    assert set(options) == {"feature_matching", "attention_transfer"}
    assert options["feature_matching"]["matching"] == "adaptive"
    assert [[pair["student"], pair["teacher"]] for pair in options["attention_transfer"]["pairs"]] == [
        [row[0], row[4]] for row in rows
    ]
    pasted = text[text.index("[phase.options.feature_matching]") :]
    phase = (
        f'[[phase]]\nmethod = ["soft_target", "feature_matching", "attention_transfer"]\n{pasted}\n[phase.training]\n'
    )
    plan = make_plan(parse_recipe(HEAD + IMAGES + phase, "pasted"))
    assert [method.name for method in plan.phases[0].methods][1:] == ["feature_matching", "attention_transfer"]


def test_the_members_of_an_ensemble_are_suggested_by_their_paths_inside_it(tmp_path: Path) -> None:
    several = """
[[teacher]]
model = "ensemble"
members = [{ model = "resnet8", weights = "a" }, { model = "resnet20", weights = "b" }]
[[teacher]]
model = "file:teacher.onnx"
"""
    text = shown(distill(tmp_path, HEAD + IMAGES + several, "--suggest"))
    assert "resnet8 learns from resnet20" in text
    assert re.search(r" members\.1\.\S+ ", text)
    assert "file:" not in text


def test_what_cannot_be_done_is_refused_before_any_work(tmp_path: Path) -> None:
    plain = '[[phase]]\nmethod = "supervised"\n[phase.training]\n'
    error = refused(distill(tmp_path, HEAD + TABLE + TEACHER + plain))
    assert isinstance(error, RecipeError)
    assert "nothing distils (supervised)" in error.given
    assert "nothing distils" in refused(distill(tmp_path, HEAD + TABLE + TEACHER + plain, "--probe")).given
    error = refused(distill(tmp_path, HEAD + TABLE + TEACHER + TAUGHT_BRIEFLY + "[probe]\nepochs = 0\n", "--probe"))
    assert "probe.epochs = 0" in error.given
    error = refused(distill(tmp_path, HEAD + TABLE + TEACHER + TAUGHT_BRIEFLY, "--probe", "--suggest"))
    assert isinstance(error, InputError)
    given = TABLE.replace('model = "mlp"\noptions = { hidden = [32, 16] }', 'model = "file:teacher.onnx"')
    error = refused(distill(tmp_path, HEAD + given + TAUGHT_BRIEFLY, "--suggest"))
    assert isinstance(error, ModelError)
    assert "file:teacher.onnx" in error.given
    alone = TABLE[: TABLE.index("[student]")] + TEACHER
    assert "without a student" in refused(distill(tmp_path, HEAD + alone, "--suggest")).given
    assert not (tmp_path / "store").exists()


def test_an_error_is_one_screen(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(HEAD + TABLE + TEACHER)
    command = [sys.executable, "-m", "galenic.cli.main", "distill", str(path), "--store", str(tmp_path / "store")]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert load_recipe(path).name == "small"
