"""Rows without labels: a student learns them from its teacher alone, and nothing takes -1 for a class."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import make_task
from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench, Teacher, task_loss
from galenic.compress.supervised import Supervised
from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.run import compress
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DataError, RecipeError
from galenic.record.task import Split, SplitName, Task, TaskKind
from galenic.record.training import ClassWeighting, Rows, TrainingConfig
from galenic.store.stages import Store
from galenic.zoo.build import build
from galenic.zoo.model import Model

CONFIG = TrainingConfig(
    epochs=6,
    batch_size=16,
    learning_rate=0.01,
    augment=False,
    rows=Rows.TRANSFER,
    class_weighting=ClassWeighting.BALANCED,
    precision="float32",
    memory_format="contiguous",
)


def with_transfer(task: Task, rows: int = 64) -> Task:
    """The task with rows like its own whose labels nobody has written down."""
    other = make_task(rows).train
    inputs = np.flip(other.inputs, axis=1).copy()
    labels = np.full((rows, *task.train.labels.shape[1:]), -1)
    return dataclasses.replace(task, transfer=Split(inputs, labels, np.char.add("transfer/", other.ids)))


class Halves:
    """A teacher by rule (is the left half brighter than the right?) that counts what it is asked."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        self.rows += len(inputs)
        difference = inputs[:, 0, :, :6].mean(axis=(1, 2)) - inputs[:, 0, :, 6:].mean(axis=(1, 2))
        return np.stack([-8 * (difference - 0.6), 8 * (difference - 0.6)], axis=1).astype(np.float32)


def bench_of(task: Task, folder: Path, teacher: Halves, config: TrainingConfig = CONFIG) -> Bench:
    return Bench(task, 0, folder, config, (Teacher("halves", "0" * 64, task.classes, teacher),))


def student() -> Model:
    return build("resnet8", (1, 12, 12), 2, options={"width": 0.5})


def accuracy(model: Model, task: Task) -> float:
    with torch.no_grad():
        logits = model.module(torch.from_numpy(to_inputs(task.preprocessing, task.test.inputs)))
    return float((logits.argmax(1).numpy() == task.test.labels).mean())


def test_a_student_learns_from_transfer_rows_alone(tmp_path: Path) -> None:
    task = with_transfer(make_task())
    wrong = Split(task.train.inputs, 1 - task.train.labels, task.train.ids)
    misled = dataclasses.replace(task, splits={**task.splits, SplitName.TRAIN: wrong})
    teacher = Halves()
    (model,) = SoftTarget(alpha=1.0).apply(student(), bench_of(misled, tmp_path, teacher))
    assert accuracy(model, task) > 0.9
    assert teacher.rows == 64, "each transfer row once, no training row"


def test_both_kinds_of_rows_at_once(tmp_path: Path) -> None:
    task, teacher = with_transfer(make_task()), Halves()
    config = CONFIG.model_copy(update={"rows": Rows.BOTH, "epochs": 2, "augment": True})
    SoftTarget(alpha=1.0, views=2).apply(student(), bench_of(task, tmp_path, teacher, config))
    assert teacher.rows == 2 * (48 + 64)


def test_several_labels_a_case(tmp_path: Path) -> None:
    task, teacher = with_transfer(make_task(kind=TaskKind.MULTI_LABEL)), Halves()
    config = CONFIG.model_copy(update={"rows": Rows.BOTH, "epochs": 1})
    (model,) = SoftTarget(alpha=1.0).apply(student(), bench_of(task, tmp_path, teacher, config))
    assert all(torch.isfinite(p).all() for p in model.module.parameters())
    assert task.rows(Rows.BOTH).labels[-1].tolist() == [-1, -1]


@pytest.mark.parametrize("method", [SoftTarget(alpha=0.9), Supervised()])
@pytest.mark.parametrize("rows", [Rows.TRANSFER, Rows.BOTH])
def test_labels_are_never_learned_from_them(tmp_path: Path, method: SoftTarget | Supervised, rows: Rows) -> None:
    task, teacher = with_transfer(make_task()), Halves()
    with pytest.raises(RecipeError, match="label loss"):
        method.apply(student(), bench_of(task, tmp_path, teacher, CONFIG.model_copy(update={"rows": rows})))
    assert teacher.rows == 0, "before any work"


def test_class_weights_are_those_of_the_labelled_rows() -> None:
    task = make_task()
    keep = np.array([row for row in range(48) if row % 4 != 1])  # 24 of class 0, 12 of class 1
    task = with_transfer(dataclasses.replace(task, splits={**task.splits, SplitName.TRAIN: task.train.take(keep)}))
    assert task_loss(task, CONFIG).weight.tolist() == [0.75, 1.5]


def test_without_transfer_rows_none_can_be_learned_from(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="has no transfer rows"):
        SoftTarget(alpha=1.0).apply(student(), bench_of(make_task(), tmp_path, Halves()))


RECIPE = """
name = "unlabelled"
threads = 1
[task]
source = "npz:FOLDER/halves.npz"
transfer = "npz:FOLDER/more.npz"
[reference]
model = "resnet8"
options = { width = 0.5 }
[reference.training]
epochs = 8
batch_size = 16
learning_rate = 1e-2
augment = false
precision = "float32"
memory_format = "contiguous"
[student]
model = "resnet8"
options = { width = 0.5 }
[[phase]]
method = "soft_target"
[phase.options.soft_target]
alpha = 1
[phase.training]
epochs = 8
batch_size = 16
learning_rate = 1e-2
augment = false
rows = "both"
precision = "float32"
memory_format = "contiguous"
[probe]
epochs = 0
[gate.margins]
auc = 0.2
[measure]
runs = 20
warmup = 1
"""


@pytest.mark.slow
def test_a_recipe_with_transfer_rows_runs_to_its_verdict(tmp_path: Path) -> None:
    task = make_task()
    names = {"train": SplitName.TRAIN, "val": SplitName.VALIDATION, "test": SplitName.TEST}
    arrays = {f"{short}_images": task.splits[name].inputs for short, name in names.items()}
    arrays |= {f"{short}_labels": task.splits[name].labels for short, name in names.items()}
    np.savez(tmp_path / "halves.npz", **arrays)
    more = with_transfer(task).transfer
    assert more is not None
    leaked = np.concatenate([more.inputs, task.test.inputs[5:8]])
    np.savez(tmp_path / "more.npz", images=leaked)
    recipe = parse_recipe(RECIPE.replace("FOLDER", str(tmp_path)), "unlabelled.toml")
    with pytest.raises(DataError, match="3 are also in test"):
        compress(recipe, Store(tmp_path / "store"))
    dropping = recipe.model_copy(update={"task": recipe.task.model_copy(update={"overlap": "drop-train"})})
    outcome = compress(dropping, Store(tmp_path / "store"))
    report = outcome.report
    assert (report.task.overlap.transfer, report.task.overlap.dropped) == (3, 3)
    assert report.task.sizes["transfer"] == len(more)
    taught = next(one for one in report.candidates if one.id == report.chosen)
    assert taught.metrics["auc"].value > 0.9
    assert report.recipe.task.transfer == f"npz:{tmp_path}/more.npz"
    assert len(list((tmp_path / "store" / "answers").glob("answers-*.blocks"))) == 1
