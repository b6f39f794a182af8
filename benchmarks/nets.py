"""The trained float nets that the quantization benchmarks share, their tasks, and other draws of calibration rows.

    ham         HAM10000-64: the teachers and the plain MobileNetV3-small of ham_distillation
    pneumonia   PneumoniaMNIST (rebuilt), 28 px
    cifar       CIFAR-10 (JPEG copy): the plain ResNet-20 of cifar_distillation, and a MobileNetV3-small
One net of each, of seed 0; what was trained by another benchmark is found in runs/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import cifar_distillation
import ham_distillation
from galenic.gating.endpoints import ENDPOINTS
from galenic.pipeline.file_stages import export_stage, predict_stage
from galenic.pipeline.training_stages import run_phase
from galenic.record.artifact import Artifact
from galenic.record.predictions import Predictions
from galenic.record.report import Metric
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.stats.estimate import ALPHA
from galenic.tasks.load import load_task
from galenic.tasks.overlap import OverlapRule
from galenic.tasks.split import sample_rows
from galenic.zoo.model import Model
from lab import fresh, setting, trained
from result import DATA, metric_over_seeds

DRAWS = (0, 1, 2)
"""Of calibration rows; 0 is the task's own."""
DATA_SETS = {
    "ham": "HAM10000-64, own lesion split (ham10000_64)",
    "pneumonia": "PneumoniaMNIST, rebuilt (pneumoniamnist)",
    "cifar": "CIFAR-10, JPEG copy (cifar10_jpeg)",
}
FOUR = ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "densenet121")
CELLS = [(name, data) for data in ("ham", "pneumonia") for name in FOUR]
CELLS += [("resnet20", "cifar"), ("mobilenet_v3_small", "cifar")]
_PNEUMONIA = {"batch_size": 64, "ema_decay": 0.99, "class_weighting": "balanced", "flips": "horizontal"}
TRAININGS: dict[tuple[str, str], TrainingConfig] = {
    **{(name, "ham"): config for name, config in ham_distillation.TEACHERS.items()},
    ("mobilenet_v3_small", "ham"): ham_distillation.STUDENTS["mobilenet_v3_small"],
    **{
        (name, "pneumonia"): TrainingConfig(epochs=epochs, learning_rate=rate, precision=precision, **_PNEUMONIA)
        for name, epochs, rate, precision in (
            ("resnet18", 6, 5e-4, "bfloat16"),
            ("mobilenet_v3_small", 12, 3e-3, "float32"),
            ("efficientnet_b0", 6, 2e-3, "float32"),
            ("densenet121", 6, 1e-3, "bfloat16"),
        )
    },
    ("resnet20", "cifar"): cifar_distillation.RESNET20,
    ("mobilenet_v3_small", "cifar"): TrainingConfig(
        epochs=12, learning_rate=4e-3, ema_decay=0.999, **(cifar_distillation.COMMON | {"precision": "float32"})
    ),
}


def task_of(data: str) -> Task:
    """The task of one of ``DATA_SETS``."""
    if data == "ham":
        return ham_distillation.load()
    if data == "cifar":
        return cifar_distillation.load()
    options = {"classes": ["normal", "pneumonia"], "positive": ["pneumonia"]}
    path = DATA / "pneumoniamnist" / "pneumoniamnist_rebuilt.npz"
    return load_task(f"npz:{path}", overlap=OverlapRule.DROP_TRAIN, **options)


def net(task: Task, name: str, data: str) -> Model:
    """The float net, trained where it is not in runs/ yet."""
    return trained(setting(task, 0), fresh(task, name, 0), TRAININGS[name, data])


def drawn(task: Task, draw: int) -> Task:
    """The task with other calibration rows of its training split, as many and stratified like its own."""
    if draw == 0:
        return task
    rows = sample_rows(task.train.labels, len(task.calibration), 1000 + draw)
    return replace(task, splits={**task.splits, SplitName.CALIBRATION: task.train.take(rows)})


def quantized(task: Task, draw: int, model: Model, method: Any) -> Model:
    """What a post-training method makes of a float net with this draw of calibration rows."""
    return run_phase(setting(drawn(task, draw), draw), [method], model)[-1]


def tested(task: Task, model: Model, runtime: str) -> tuple[Artifact, Predictions]:
    """The model's file for a runtime and its answers to the test set."""
    where = setting(task, 0)
    artifact = export_stage(where, model, runtime)
    return artifact, predict_stage(where, artifact, SplitName.TEST)


def changes(endpoint: str, found: Sequence[Predictions], before: Sequence[Predictions]) -> dict[str, Any]:
    """The mean over draws of how much an endpoint changed, paired by case; the ends are the means of the draws' intervals."""
    paired = [ENDPOINTS[endpoint].paired(a, b, ALPHA).estimate for a, b in zip(found, before, strict=True)]
    measured = [Metric(value=one.value, low=one.low, high=one.high, n=one.n) for one in paired]
    return metric_over_seeds(measured, DRAWS[: len(found)], f"change of {endpoint}")


def mean_of(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of figures over cells; its ends are the means of theirs, as the cells of one data set share their cases."""
    ends = {end: float(np.mean([one[end] for one in figures])) for end in ("value", "low", "high")}
    return figures[0] | ends
