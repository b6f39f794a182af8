"""The README's script, on a small built-in task: every verb once, the file run in its own runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

import galenic as gx
from galenic.record.errors import DataError, ModelError, RecipeError
from galenic.store.ledger import Ledger
from galenic.zoo.model import removed_share, weights_hash

CONFIG = gx.TrainingConfig(epochs=2, learning_rate=3e-3, flips="none", precision="float32", memory_format="contiguous")


def test_from_a_task_to_a_verdict(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GALENIC_STORE", str(tmp_path / "store"))
    task = gx.load_task("digits")
    teacher = gx.train(gx.build("resnet8", task), task, CONFIG)
    student = gx.distill(
        gx.build("resnet8", task, options={"width": 0.5}), task, teacher, gx.methods.SoftTarget(views=1), CONFIG
    )
    int8 = gx.quantize(student, task, gx.methods.StaticInt8())
    file = gx.export(int8, "onnxruntime", tmp_path / "digits.onnx")
    assert file.integer_ops is not None
    assert file.integer_ops.floating == 0
    assert gx.measure(file, task).latency.p90 > 0
    verdict = gx.gate(gx.predict(file, task), gx.predict(teacher, task), gx.Margins(accuracy=0.9))
    assert verdict.verdict is gx.Verdict.PASS
    assert verdict.artifact_sha256 == file.sha256
    reads = Ledger(tmp_path / "store" / "ledger.jsonl").reads(task.split_hashes["test"])
    assert [read.purpose for read in reads] == ["predict", "predict"]


def test_pruned_and_sparse_models_are_trained_exported_and_smaller(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GALENIC_STORE", str(tmp_path / "store"))
    task = gx.load_task("digits")
    start = gx.build("resnet8", task)
    teacher = gx.train(start, task, CONFIG)
    slim = gx.prune(teacher, task, gx.methods.ChannelPruning(ratio=0.4), teacher=teacher, config=CONFIG)
    assert slim.lineage == ("resnet8", "supervised", "channels", "soft_target")
    whole, small = (gx.export(one, "onnxruntime", tmp_path / f"{len(one.lineage)}.onnx") for one in (teacher, slim))
    assert small.macs < 0.4 * whole.macs
    assert small.size_bytes < 0.5 * whole.size_bytes
    assert gx.measure(small, task).latency.p50 > 0
    cut = gx.prune(teacher, task, gx.methods.MagnitudePruning(sparsity=0.7))
    assert cut.lineage[-1] == "magnitude"
    assert removed_share(cut) == pytest.approx(0.7, abs=1e-4)
    tuned = gx.prune(teacher, task, gx.methods.MagnitudePruning(sparsity=0.7), config=CONFIG)
    assert removed_share(tuned) == pytest.approx(0.7, abs=1e-4)
    assert weights_hash(tuned) != weights_hash(cut)
    sparse = gx.sparsify(start, task, gx.methods.RigL(sparsity=0.8, every_steps=5), teacher=teacher, config=CONFIG)
    assert sparse.lineage == ("resnet8", "soft_target", "rigl")
    assert removed_share(sparse) == pytest.approx(0.8, abs=1e-3)


def test_a_model_without_a_task_cannot_be_exported(tmp_path: Path) -> None:
    from galenic.zoo.build import build

    with pytest.raises(ModelError, match="without a task"):
        gx.export(build("resnet8", (1, 8, 8), 2), "onnxruntime", tmp_path / "m.onnx")


def test_any_module_is_quantized_on_batches_alone_and_checked_against_its_task_if_it_has_one() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    random = np.random.default_rng(0)
    batches = [random.normal(size=(16, 4)).astype(np.float32) for _ in range(3)]
    made = gx.quantize(module, batches, gx.methods.StaticInt8(observer="mse"))
    assert made.quant is not None
    assert made.lineage == ("Sequential", "static_int8")
    assert {point.tensor for point in made.quant.points} == {"input", "0", "1/relu", "2"}
    with pytest.raises(RecipeError, match="supervised on batches alone"):
        gx.quantize(module, batches, gx.methods.Supervised())
    with pytest.raises(ModelError, match="Sequential, a plain module, with a task"):
        gx.quantize(module, gx.load_task("digits"))
    with pytest.raises(DataError, match="no calibration rows"):
        gx.quantize(module, [])
    task = gx.load_task("digits")
    with pytest.raises(DataError, match="calibration rows of shape"):
        gx.quantize(gx.build("resnet8", task), [np.zeros((2, 3, 8, 8), np.float32)])
