"""Several teachers, assistants and ensembles end to end, and recipes that run again to the same files."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

import galenic as gx
from conftest import make_task
from galenic.pipeline.recipes import load_recipe, parse_recipe
from galenic.pipeline.reference import make_model, prepare_teachers
from galenic.pipeline.run import Outcome, compress
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import forget
from galenic.record.errors import ModelError
from galenic.record.recipe import ModelRecipe, Recipe
from galenic.record.training import Precision, TrainingConfig
from galenic.store.stages import Store
from galenic.zoo.model import parameters, weights_hash
from galenic.zoo.saving import load_model

pytestmark = pytest.mark.slow

HEAD = """
name = "taught"
threads = 1
[task]
source = "digits"
[gate.margins]
auc = 0.3
[measure]
runs = 20
warmup = 1
"""
TRAINING = 'epochs = 2\nlearning_rate = 3e-3\nflips = "none"\n'
REFERENCE = f'[reference]\nmodel = "mlp"\noptions = {{ hidden = [24] }}\n[reference.training]\n{TRAINING}'
TEACHER = f'[[teacher]]\nmodel = "mlp"\noptions = {{ hidden = [24] }}\n[teacher.training]\n{TRAINING}'
STUDENT = '[student]\nmodel = "mlp"\noptions = { hidden = [8] }\n'
SHORT = TrainingConfig(epochs=1, batch_size=16, augment=False, precision="float32", memory_format="contiguous")


def phase(method: str, options: str) -> str:
    return f'[[phase]]\nmethod = "{method}"\n[phase.options.{method}]\n{options}\n[phase.training]\n{TRAINING}'


SEVERAL = HEAD + REFERENCE + TEACHER + TEACHER + STUDENT + phase("multi_teacher", 'weighting = "validation"\nviews = 2')
ASSISTANTS = 'assistants = [{ model = "mlp", options = { hidden = [16] } }]\nsoft_target = { views = 2 }'
FAMILY = (
    'choose = "best"\n'
    + HEAD
    + REFERENCE
    + STUDENT
    + phase("progressive", ASSISTANTS)
    + '[[phase]]\nmethod = "static_int8"\n'
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def several(store: Store) -> Outcome:
    return compress(parse_recipe(SEVERAL, "several.toml"), store)


@pytest.fixture(scope="module")
def family(store: Store) -> Outcome:
    return compress(parse_recipe(FAMILY, "family.toml"), store)


def test_two_teachers_with_equal_tables_are_two_nets_and_are_scored(several: Outcome) -> None:
    report = several.report
    assert [c.id for c in report.candidates] == ["reference", "1-multi_teacher"]
    (note,) = [note for note in report.notes if note.startswith("Teachers")]
    scores = [float(word) for word in note.rstrip(".").replace(",", "").split() if word.startswith("0.")]
    assert len(scores) == 2
    assert scores[0] != scores[1], "each has a seed of its own"
    assert report.comparison is not None
    assert report.comparison.teacher == pytest.approx(max(scores), abs=5e-4)
    assert "the best of 2 teachers" in report.comparison.sentence
    assert report.probe is not None
    assert scores[0] == pytest.approx(report.candidates[0].validation["auc"].value, abs=5e-4), "the reference's recipe"


def test_the_stored_recipe_has_every_measured_choice(several: Outcome, family: Outcome) -> None:
    for outcome in (several, family):
        recipe = outcome.report.recipe
        trainings = [one.training for one in (recipe.reference, *recipe.teacher)] + [recipe.phase[0].training]
        assert all(training and training.precision is not Precision.AUTO for training in trainings)
    (assistant,) = family.report.recipe.phase[0].options["progressive"]["assistants"]
    assert assistant["training"]["precision"] in ("float32", "bfloat16")
    assert assistant["training"]["memory_format"] in ("contiguous", "channels-last")


def test_a_chain_of_assistants_is_a_family_of_files(family: Outcome) -> None:
    report = family.report
    names = ["1-progressive-assistant_1", "1-progressive", "2-static_int8-assistant_1", "2-static_int8"]
    assert [c.id for c in report.candidates] == ["reference", *names]
    titles = {c.id: c.title for c in report.candidates}
    assert titles["2-static_int8-assistant_1"] == "mlp, assistant_1 + static_int8"
    assert titles["1-progressive"] == "mlp, progressive"
    sizes = {c.id: c.parameters for c in report.candidates}
    assert sizes["reference"] > sizes["1-progressive-assistant_1"] > sizes["1-progressive"]
    # how fast two nets of this size are is the machine's: a float file stands in for its slower INT8 file
    slower = "slower here" in report.chosen_because
    assert report.chosen in (names[:2] if slower else names[2:])
    assert "Of the 2 files of the last phase" in report.chosen_because
    assert sum("its own float file here" in note for note in report.notes) == 2
    assert report.comparison is not None
    assert report.comparison.distilled == report.candidates[2].validation["auc"].value, "the student, not the assistant"
    for candidate in report.candidates:
        assert (family.folder / candidate.path).stat().st_size == candidate.size_bytes


@pytest.mark.slow
def test_what_is_stored_runs_again_to_the_same_files(several: Outcome, family: Outcome, tmp_path: Path) -> None:
    stored = load_recipe(family.folder / "report.json")
    again = compress(stored, Store(tmp_path))
    assert [c.sha256 for c in again.report.candidates] == [c.sha256 for c in family.report.candidates]
    assert again.report.run.id == family.report.run.id
    schema = Path(__file__).parents[2] / "src" / "galenic" / "reporting" / "report.schema.json"
    for outcome in (several, family):
        jsonschema.validate(json.loads((outcome.folder / "report.json").read_text()), json.loads(schema.read_text()))


def test_what_is_done_is_not_done_again(several: Outcome, family: Outcome, store: Store) -> None:
    told: list[str] = []
    for text, outcome in ((SEVERAL, several), (FAMILY, family)):
        again = compress(
            parse_recipe(text, "r.toml"), store, lambda work, done, total, note="": told.append(work)
        ).report
        assert again.model_dump(exclude={"run"}) == outcome.report.model_dump(exclude={"run"})
    assert not [work for work in told if "soft_target" in work or work in ("multi_teacher", "supervised")]
    stage = next(folder for folder in store.root.glob("stages/model-*") if (folder / "1").exists())
    assert {path.name for path in stage.iterdir()} == {"0", "1", "lock", "result.json"}, "assistants' folders are gone"


def test_an_ensemble_is_the_reference_and_one_teacher(tmp_path: Path) -> None:
    member = '[[reference.members]]\nmodel = "mlp"\noptions = { hidden = [8] }\n'
    text = HEAD + f'[reference]\nmodel = "ensemble"\n[reference.training]\n{TRAINING}' + member + member + STUDENT
    outcome = compress(parse_recipe(text + phase("soft_target", "views = 1"), "e.toml"), Store(tmp_path))
    report = outcome.report
    assert report.reference.name == "ensemble of mlp + mlp"
    assert report.reference.parameters == 2 * report.candidates[-1].parameters
    assert report.candidates[0].parity is not None
    assert report.candidates[0].parity.max_difference < 1e-3
    assert report.recipe.reference.training is None
    first, second = report.recipe.reference.members
    assert first == second
    assert first.training is not None
    assert first.training.precision is not Precision.AUTO
    trained = [load_model(path.parent) for path in tmp_path.glob("stages/model-*/0/model.json")]
    assert len({weights_hash(model) for model in trained}) == 3, "two members with seeds of their own, and the student"
    again = compress(load_recipe(outcome.folder / "report.json"), Store(tmp_path))
    assert again.report.run.id == report.run.id


def test_every_net_of_several_teachers_has_a_seed_of_its_own(tmp_path: Path) -> None:
    net = ModelRecipe(model="mlp", options={"hidden": [4]}, training=SHORT)
    pair = ModelRecipe(model="ensemble", members=(net, net))
    values = parse_recipe(SEVERAL, "s.toml").model_dump() | {"teacher": (net, pair, net)}
    setting = Setting(make_task(), Store(tmp_path), seed=3, threads=1)
    first, middle, last = (one.model for one in prepare_teachers(setting, Recipe.model_validate(values)))
    hashes = [weights_hash(model) for model in (first, last) if model]
    assert middle is not None
    inner = [{f"{k}": v for k, v in part.state_dict().items()} for part in middle.module.members]
    alone = [make_model(Setting(setting.task, setting.store, seed, 1), net).model for seed in (3, 4, 5, 6)]
    assert hashes == [weights_hash(alone[0]), weights_hash(alone[3])]
    for state, model in zip(inner, alone[1:3], strict=True):
        assert all(torch.equal(state[name], tensor) for name, tensor in model.module.state_dict().items())


def test_the_verb_takes_a_model_a_file_or_several(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GALENIC_STORE", str(tmp_path / "store"))
    task = make_task()
    options = {"hidden": [8]}
    teacher = gx.train(gx.build("mlp", task, options=options), task, SHORT)
    file = gx.export(gx.build("mlp", task, seed=1, options=options), "onnxruntime", tmp_path / "other.onnx")
    student = gx.build("mlp", task, options={"hidden": [4]})
    taught = gx.distill(student, task, [teacher, file], gx.methods.MultiTeacher(weighting="confidence"), SHORT)
    assert taught.lineage == ("mlp", "multi_teacher")
    chain = gx.methods.Progressive(assistants=({"model": "mlp", "options": {"hidden": [6]}},))
    last = gx.distill(student, task, file, chain, SHORT)
    assert (last.lineage, parameters(last)) == (("mlp", "progressive"), parameters(student))
    with pytest.raises(ModelError, match="2 teachers"):
        gx.distill(student, task, [teacher, file], config=SHORT)
    with pytest.raises(ModelError, match="multi_teacher with 1 teacher"):
        gx.distill(student, task, teacher, gx.methods.MultiTeacher(), SHORT)


def test_a_finished_stage_keeps_its_models_alone(tmp_path: Path) -> None:
    for name in ("0", "1", "assistant_1-ab"):
        (tmp_path / name).mkdir()
    for name in ("lock", "result.json", "training.safetensors", "assistant_1-ab/weights"):
        (tmp_path / name).write_bytes(np.zeros(1).tobytes())
    forget(tmp_path, models=2)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "lock", "result.json"}
