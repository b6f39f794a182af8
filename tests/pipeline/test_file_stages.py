"""Stored predictions and verdicts belong to a question: another positive class or cluster is another question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from galenic.compress.quantize.half import HalfFormat, HalfPrecision, to_half
from galenic.exporters.load import EXPORTERS
from galenic.pipeline.file_stages import export_stage, predict_stage
from galenic.pipeline.gate_stage import gate_stage
from galenic.pipeline.setting import Setting, installed_versions
from galenic.record.gate import Margins
from galenic.record.recipe import GateRecipe
from galenic.record.task import SplitName
from galenic.store.stages import Store
from galenic.zoo.build import build


def test_a_corrected_task_is_not_answered_from_the_store(task, tmp_path: Path) -> None:
    setting = Setting(task, Store(tmp_path), threads=1)
    artifact = export_stage(setting, build("mlp", (1, 12, 12), 2, options={"hidden": [4]}), "onnxruntime")
    first = predict_stage(setting, artifact, SplitName.TEST)
    test = task.test
    pairs = replace(test, clusters=np.repeat(np.arange(len(test) // 2).astype(str), 2))
    corrected = replace(task, positive=(0,), splits={**task.splits, SplitName.TEST: pairs})
    assert corrected.content_hash != task.content_hash
    again = replace(setting, task=corrected)
    second = predict_stage(again, artifact, SplitName.TEST)
    assert (first.positive, first.clusters) == ((1,), None)
    assert second.positive == (0,)
    assert second.clusters is not None
    assert np.array_equal(first.logits, second.logits)
    gate = GateRecipe(margins=Margins(auc=0.5))
    gate_stage(setting, gate, artifact, artifact)
    gate_stage(setting, gate, artifact, artifact)
    assert len(setting.ledger.reads(task.split_hashes["test"])) == 1
    gate_stage(again, gate, artifact, artifact)
    assert len(setting.ledger.reads(task.split_hashes["test"])) == 2


@pytest.mark.slow
def test_one_file_in_two_arithmetics_gives_two_answers(task, tmp_path: Path) -> None:
    setting = Setting(task, Store(tmp_path), threads=1)
    model = build("resnet8", (1, 12, 12), 2)
    rule = HalfPrecision(format=HalfFormat.BFLOAT16).rule
    whole, half = (export_stage(setting, one, "openvino") for one in (model, to_half(model, rule)))
    assert (whole.sha256, whole.precision, half.precision) == (half.sha256, "float32", "bfloat16")
    first, second = (predict_stage(setting, one, SplitName.VALIDATION).logits for one in (whole, half))
    assert 0 < np.abs(first - second).max() < 0.05 * np.abs(first).max()
    other = export_stage(setting, model, "onnxruntime")
    assert other.kind is task.kind, "so that whoever has the file alone knows what its logits are"
    assert (other.sha256 == whole.sha256, other.computation == whole.computation) == (True, False)


def test_the_versions_that_decide_a_files_bytes_are_all_known() -> None:
    for exporter in EXPORTERS:
        assert set(exporter.packages) <= set(installed_versions()), exporter.runtime
