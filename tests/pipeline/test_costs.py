"""A model's latency is that of its file, and what was made to it depends on where it is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from galenic.compress.quantize.mixed_precision import Budget, MixedPrecision
from galenic.pipeline.costs import LatencyCost
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase
from galenic.record.quant import Observer
from galenic.record.recipe import MeasureRecipe
from galenic.store.stages import Store
from galenic.zoo.build import build


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
