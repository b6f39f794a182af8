"""A recipe up to its quantization, and what is behind it: numbers that agree with each other, and no read of the test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.compress.quantize.mixed_precision import Budget, MixedPrecision
from galenic.compress.quantize.simulate import divergence
from galenic.pipeline import file_stages
from galenic.pipeline.costs import LatencyCost
from galenic.pipeline.explanation import Explained, explain
from galenic.pipeline.plan import make_plan
from galenic.pipeline.quantization import quantize, up_to_quantization
from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase
from galenic.record.errors import RecipeError
from galenic.record.predictions import Predictions
from galenic.record.quant import Observer
from galenic.record.quantization import Explanation, QuantizationResult
from galenic.record.recipe import MeasureRecipe, Recipe
from galenic.record.task import SplitName, TaskKind
from galenic.store.files import file_sha256
from galenic.store.stages import Store
from galenic.zoo.build import build

EXACT = 'flips = "none"\nprecision = "float32"\nmemory_format = "contiguous"\n'
HEAD = """
name = "small"
threads = 1
[gate.margins]
auc = 0.1
[measure]
runs = 20
warmup = 1
[task]
source = "wisconsin"
[reference]
model = "mlp"
options = { hidden = [16, 16] }
"""
TRAINED = f"[reference.training]\nepochs = 4\nlearning_rate = 1e-2\n{EXACT}"
ROUGH = """
[[phase]]
method = "static_int8"
[phase.options.static_int8]
observer = "mse"
correct_bias = false
equalise = false
layers = [{ layer = "features.0", weight_bits = 2 }]
"""
AFTER = '[[phase]]\nmethod = "supervised"\n[phase.training]\n'


def recipe(*parts: str) -> Recipe:
    return parse_recipe(HEAD + TRAINED + "".join(parts), "r.toml")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def explained(store: Store) -> Explained:
    return explain(recipe(ROUGH), store)


@pytest.mark.slow
def test_the_file_is_set_beside_its_own_float_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[SplitName] = []
    predict = file_stages.predict
    monkeypatch.setattr(file_stages, "predict", lambda *given: read.append(given[2]) or predict(*given))
    made = quantize(recipe(ROUGH), store)
    assert set(read) <= {SplitName.VALIDATION}
    assert not (store.root / "ledger.jsonl").exists()
    result = QuantizationResult.model_validate_json((made.folder / "comparison.json").read_text())
    assert result == made.result
    plain, file = result.files
    assert (plain.id, file.id) == ("float", "1-static_int8")
    assert (plain.agreement, plain.change, plain.integer_ops) == (None, None, None)
    for one in result.files:
        assert file_sha256(made.folder / one.path) == one.sha256
        assert (made.folder / f"{one.path}.json").exists()
    assert file.change is not None
    assert file.change.value == pytest.approx(file.metrics["auc"].value - plain.metrics["auc"].value, abs=1e-9)
    assert file.agreement is not None
    assert file.agreement.agreement >= 0.99
    assert len(result.sentences) == 4


@pytest.mark.slow
def test_nothing_is_done_twice(store: Store, explained: Explained) -> None:
    stages = sorted(path.name for path in (store.root / "stages").iterdir())
    explain(recipe(ROUGH), store)
    assert sorted(path.name for path in (store.root / "stages").iterdir()) == stages


@pytest.mark.slow
def test_the_worst_layer_is_found_and_keeping_it_is_measured(explained: Explained, store: Store) -> None:
    found = Explanation.model_validate_json((explained.folder / "explanation.json").read_text())
    assert found == explained.explanation
    assert found.layers[0].layer == "features.0", "the layer with two bits"
    assert [one.weight_bits for one in found.layers] == [2, *[8] * (len(found.layers) - 1)]
    assert [one.value for one in found.layers] == sorted((one.value for one in found.layers), reverse=True)
    assert found.if_kept is not None
    assert found.if_kept.layers == ("features.0",)
    assert found.if_kept.divergence.value < 0.2 * found.divergence.value
    assert (found.kept, found.refused) == ((), ())
    assert any('keep = ["features.0"]' in sentence for sentence in found.advice)
    kept = ROUGH + 'keep = ["features.0"]\n'
    with_it = explain(recipe(kept), store).explanation
    assert with_it.divergence == found.if_kept.divergence, "what was said is what comes of it"
    assert with_it.kept == ("features.0",)


@pytest.mark.slow
def test_the_whole_is_what_the_file_itself_loses(explained: Explained, store: Store) -> None:
    found = explained.explanation
    logits = {}
    for stage in (store.root / "stages").glob("predictions-*"):
        predictions = Predictions.load(stage / "predictions.npz")
        logits[predictions.made_by] = predictions.logits
    plain, file = (torch.from_numpy(np.asarray(logits[one.sha256])) for one in (found.float_file, found.file))
    whole = float(divergence(plain, file, TaskKind.SINGLE_LABEL)[: found.divergence.n].mean())
    assert found.divergence.value == pytest.approx(whole, rel=0.05)


@pytest.mark.slow
def test_what_mixed_precision_measured_is_not_measured_again(store: Store) -> None:
    mixed = """
[[phase]]
method = "mixed_precision"
[phase.options.mixed_precision]
observer = "mse"
correct_bias = false
equalise = false
budget = { size_ratio = 0.24 }
"""
    said: list[str] = []
    found = explain(recipe(mixed), store, lambda work, done, total, note="": said.append(work)).explanation
    assert said.count("sensitivity of each layer") > 0
    said.clear()
    again = explain(recipe(mixed), store, lambda work, done, total, note="": said.append(work)).explanation
    assert "sensitivity of each layer" not in said
    assert again.layers == found.layers
    assert {one.weight_bits for one in found.layers} == {8, 4}
    assert found.if_kept is None, "a float layer would pass the budget"


def test_phases_behind_the_quantization_are_left_out_and_one_has_to_quantize() -> None:
    plan = make_plan(recipe(f"[[phase]]\nmethod = 'supervised'\n[phase.training]\n{EXACT}", ROUGH))
    assert [phase.name for phase in up_to_quantization(plan).phases] == ["supervised", "static_int8"]
    with pytest.raises(RecipeError, match=r"nothing quantizes \(supervised\)"):
        up_to_quantization(make_plan(recipe(AFTER)))


@pytest.mark.slow
def test_a_reference_that_nothing_needs_is_not_trained(store: Store, tmp_path: Path) -> None:
    student = '[student]\nmodel = "mlp"\noptions = { hidden = [4] }\n'
    phase = f"[[phase]]\nmethod = 'supervised'\n[phase.training]\nepochs = 1\nlearning_rate = 1e-2\n{EXACT}"
    other = Store(tmp_path)
    made = quantize(recipe(student, phase, ROUGH), other)
    assert made.result.files[1].title == "mlp + supervised + static_int8"
    assert len(list((tmp_path / "stages").glob("model-*"))) == 2, "the student's training and its quantization"


def test_a_latency_is_that_of_the_models_file(task, tmp_path: Path) -> None:
    setting = Setting(task, Store(tmp_path), threads=1)
    cost = LatencyCost(setting, "onnxruntime", MeasureRecipe(runs=20, warmup=1))
    model = build("resnet8", (1, 12, 12), 2, options={"width": 0.25})
    first = cost(model)
    assert (first.unit, first.n) == ("ms", 20)
    assert 0 < first.value < 1000
    assert first.place is not None
    assert first.place.runtime == "onnxruntime"
    assert cost(model) == first, "it is measured once"


@pytest.mark.slow
def test_a_model_made_to_a_latency_is_another_stage_where_it_is_measured_otherwise(task, tmp_path: Path) -> None:
    setting = Setting(task, Store(tmp_path), threads=1)
    model = build("mlp", (1, 12, 12), 2, options={"hidden": [4]})
    fixed = {"observer": Observer.MSE, "correct_bias": False, "equalise": False}
    to_latency = MixedPrecision(budget=Budget(latency_ms=1000), weight_bits=(8, 4), **fixed)
    to_size = MixedPrecision(budget=Budget(size_ratio=1.0), weight_bits=(8, 4), **fixed)
    stages = []
    for method in (to_latency, to_size):
        for runs in (20, 21):
            (made,) = run_phase(
                setting, [method], model, cost=LatencyCost(setting, "onnxruntime", MeasureRecipe(runs=runs, warmup=1))
            )
            assert made.quant is not None
            stages.append(len(list((tmp_path / "stages").glob("model-*"))))
    assert stages == [1, 2, 3, 3]
