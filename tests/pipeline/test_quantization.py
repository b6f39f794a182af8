"""A recipe up to its quantization: the file beside its own float file, and no read of the test set."""

from __future__ import annotations

from pathlib import Path

import pytest

from galenic.pipeline import file_stages
from galenic.pipeline.plan import make_plan
from galenic.pipeline.quantization import quantize, up_to_quantization
from galenic.pipeline.recipes import parse_recipe
from galenic.record.errors import RecipeError
from galenic.record.quantization import QuantizationResult
from galenic.record.recipe import Recipe
from galenic.record.task import SplitName
from galenic.store.files import file_sha256
from galenic.store.stages import Store

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
    assert (plain.agreement, plain.change, plain.integer_ops, plain.speedup) == (None, None, None, None)
    assert file.speedup is not None
    assert 0 < file.speedup.low <= file.speedup.value <= file.speedup.high
    for one in result.files:
        assert file_sha256(made.folder / one.path) == one.sha256
        assert (made.folder / f"{one.path}.json").exists()
    assert file.change is not None
    assert file.change.value == pytest.approx(file.metrics["auc"].value - plain.metrics["auc"].value, abs=1e-9)
    assert file.agreement is not None
    assert file.agreement.agreement >= 0.99
    assert len(result.sentences) == 4


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
