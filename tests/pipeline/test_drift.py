"""Where a file's integers are not its simulation's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.compress.quantize.static_int8 import StaticInt8
from galenic.pipeline.advice import drift_sentences
from galenic.pipeline.drift import drift
from galenic.pipeline.file_stages import export_stage
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase
from galenic.preprocess.transform import to_inputs
from galenic.record.quantization import TensorDrift
from galenic.store.stages import Store
from galenic.zoo.build import build


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_a_file_is_its_simulation_inside_and_not_that_of_another_model(runtime: str, task, tmp_path: Path) -> None:
    setting = Setting(task, Store(tmp_path), threads=1)
    model = run_phase(setting, [StaticInt8()], build("resnet8", (1, 12, 12), 2))[-1]
    artifact = export_stage(setting, model, runtime)
    rows = to_inputs(task.preprocessing, task.validation.inputs[:8])
    found = drift(model, artifact, rows)
    assert {"input", "stages.0.0.relu1/relu", "stages.2.0.relu2/relu"} <= {one.tensor for one in found}
    assert len(found) >= 9 + 5, "what ReLUs and sums make, the mean; and convolutions that go into sums"
    assert found[0] == TensorDrift(tensor="input", share=0.0, most_steps=0, n=8 * 144)
    assert max(one.share for one in found) < 0.01
    assert "are those of the simulation" in drift_sentences(found)[0]
    other = replace(model, module=build("resnet8", (1, 12, 12), 2).module)
    with torch.no_grad():
        other.module.load_state_dict(model.module.state_dict())
        other.module.stages[1][0].conv1.weight.mul_(1.1)  # type: ignore[index, union-attr, operator]
    apart = {one.tensor: one.share for one in drift(other, artifact, rows)}
    assert apart["stages.0.0.relu2/relu"] < 0.01 < apart["stages.1.0.relu1/relu"]
    assert (
        "begin to differ from the simulation's at stages.1.0.relu1/relu"
        in drift_sentences(drift(other, artifact, rows))[0]
    )


def test_where_nothing_is_shown_nothing_is_said(task, tmp_path: Path) -> None:
    setting = Setting(task, Store(tmp_path), threads=1)
    model = build("mlp", (1, 12, 12), 2)
    artifact = export_stage(setting, model, "onnxruntime")
    assert drift(model, artifact, np.zeros((1, 1, 12, 12), np.float32)) == ()
    assert drift_sentences(()) == ()
