"""Recipes that prune, from the recipe to the report: the files, what the report says of zeros, and orders that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from galenic.pipeline.plan import make_plan
from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.run import compress
from galenic.record.errors import BudgetMissed, ExitCode, RecipeError
from galenic.record.recipe import Recipe
from galenic.store.stages import Store

EXACT = 'flips = "none"\nprecision = "float32"\nmemory_format = "contiguous"\nlearning_rate = 1e-2\n'
HEAD = f"""
name = "pruned"
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
options = {{ hidden = [64, 64] }}
[reference.training]
epochs = 4
{EXACT}"""
CHANNELS = '[[phase]]\nmethod = "channels"\n[phase.options.channels]\n'
TUNED = f'[[phase]]\nmethod = "supervised"\n[phase.training]\nepochs = 3\n{EXACT}'
GRADUAL = f"""
[[phase]]
method = ["soft_target", "gradual_magnitude"]
[phase.options.gradual_magnitude]
sparsity = 0.75
every_steps = 2
[phase.training]
epochs = 4
ema_decay = 0.9
batch_size = 32
{EXACT}"""
INT8 = '[[phase]]\nmethod = "static_int8"\n'


def recipe(*parts: str) -> Recipe:
    return parse_recipe(HEAD + "".join(parts), "r.toml")


@pytest.mark.slow
def test_channels_then_single_weights_then_integers(tmp_path: Path) -> None:
    made = compress(recipe(CHANNELS, "ratio = 0.5\n", TUNED, GRADUAL, INT8), Store(tmp_path / "store"))
    steps = {one.id: one for one in made.report.candidates}
    whole, cut = steps["reference"], steps["1-channels"]
    # 30 inputs, 64 and 64 units, 2 classes; half of the units gone
    assert whole.macs == 30 * 64 + 64 * 64 + 64 * 2
    assert cut.macs == 30 * 32 + 32 * 32 + 32 * 2
    (file,) = [path for path in (made.folder / "files").rglob("*.onnx") if "static_int8" in path.name]
    weights = [numpy_helper.to_array(one) for one in onnx.load(file).graph.initializer]
    integers = [one for one in weights if one.dtype == np.int8 and one.ndim == 2]
    zeros = sum(int((one == 0).sum()) for one in integers)
    assert zeros >= 0.75 * sum(one.size for one in integers) == 0.75 * (30 * 32 + 32 * 32 + 32 * 2)
    said = " ".join(made.report.notes)
    assert "75.0 % of its prunable weights are zero. No speed-up in this runtime" in said
    assert "of the dense training's arithmetic, counted as if zeros cost nothing" in said


@pytest.mark.slow
def test_a_latency_that_no_channels_can_pay_is_a_missed_budget_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        BudgetMissed, match=r"latency_ms|a budget of 1e-06 ms; with 0.95 of the channels gone"
    ) as caught:
        compress(recipe(CHANNELS, "latency_ms = 1e-6\n"), Store(tmp_path / "store"))
    assert caught.value.exit_code is ExitCode.BUDGET


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("ratio = 1.0\n", "ratio"),
        ("ratio = -0.1\n", "ratio"),
        ("ratio = 0.5\nmacs_ratio = 0.5\n", "exactly one of ratio, macs_ratio, size_ratio and latency_ms"),
        ("", "exactly one of ratio, macs_ratio, size_ratio and latency_ms"),
    ],
)
def test_options_that_cannot_be_are_refused_before_any_work(options: str, why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        make_plan(recipe(CHANNELS, options))


def test_pruning_after_quantization_is_refused_before_any_work() -> None:
    with pytest.raises(RecipeError, match=r"phase 2 \(channels\) changes what static_int8 has quantized"):
        make_plan(recipe(INT8, CHANNELS, "ratio = 0.5\n"))
