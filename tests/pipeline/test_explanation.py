"""What is behind a quantization: numbers that agree with each other and with what comes of the advice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from galenic.compress.quantize.simulate import divergence
from galenic.pipeline.explanation import Explained, explain
from galenic.pipeline.recipes import parse_recipe
from galenic.record.predictions import Predictions
from galenic.record.quantization import Explanation
from galenic.record.recipe import Recipe
from galenic.record.task import TaskKind
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


def recipe(*parts: str) -> Recipe:
    return parse_recipe(HEAD + TRAINED + "".join(parts), "r.toml")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def explained(store: Store) -> Explained:
    return explain(recipe(ROUGH), store)


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
