"""Every form of distillation on HAM10000-64, one table: python benchmarks/ham_distillation.py [--only METHOD ...]

A MobileNetV3-small learns from the labels alone (plain) and from its teachers, 3 seeds each, all else equal; the two methods
that are best on validation are repeated with a ResNet-8. Every number is of the exported file in ONNX Runtime.

    METHOD.auc, METHOD.balanced_accuracy    on the test set, means over seeds
    METHOD.gain                             macro AUC minus that of plain: paired by case and seed
The gain's standard error has both parts: cases (DeLong, of the mean over seeds) and seeds (the spread of the seeds' gains). The
method to trust is chosen on validation, its interval is 95 %; the other methods' p-values are adjusted by Holm.
``--only`` trains some methods and reports nothing, so that two cores can share the work.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import norm

from galenic import methods as gx
from galenic.compress.method import Method, Teacher
from galenic.compress.supervised import Supervised
from galenic.gating.metrics import metrics
from galenic.record.predictions import Predictions
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.stats.auc import macro_auc
from galenic.stats.clusters import stratified_variance
from galenic.tasks.load import load_task
from galenic.zoo.model import Model
from lab import declare_comparison, fresh, predictions, setting, teacher, trained
from result import DATA, figure, metric_over_seeds, write

SEEDS = (0, 1, 2)
VIEWS = {"flips": "both", "rotation_degrees": 45, "zoom": 0.15, "shift": 0.08}
COMMON = {"batch_size": 64, "ema_decay": 0.99, "class_weighting": "balanced", "memory_format": "channels-last"} | VIEWS
TEACHERS = {
    "resnet18": TrainingConfig(epochs=30, learning_rate=1e-3, precision="bfloat16", **COMMON),
    "efficientnet_b0": TrainingConfig(epochs=25, learning_rate=2e-3, precision="float32", **COMMON),
    "densenet121": TrainingConfig(epochs=18, learning_rate=1e-3, precision="bfloat16", **COMMON),
}
STUDENTS = {
    "mobilenet_v3_small": TrainingConfig(epochs=20, learning_rate=3e-3, precision="float32", **COMMON),
    "resnet8": TrainingConfig(epochs=20, learning_rate=3e-3, precision="float32", **COMMON),
}
FIRST = ("resnet18",)
TEMPERATURE, ALPHA = 4.0, 0.9
KD = gx.SoftTarget(temperature=TEMPERATURE, alpha=ALPHA)
ASSISTANT = gx.Assistant(
    model="resnet20",
    options={"width": 2},
    training=TrainingConfig(epochs=12, learning_rate=2e-3, precision="bfloat16", **COMMON),
)


def multi(weighting: gx.Weighting) -> Method:
    return gx.MultiTeacher(weighting=weighting, temperature=TEMPERATURE, alpha=ALPHA)


METHODS: dict[str, tuple[list[Method], tuple[str, ...]]] = {
    "plain": ([Supervised()], ()),
    "kd": ([KD], FIRST),
    "kd_at": ([KD, gx.AttentionTransfer()], FIRST),
    "feature_one": (
        [gx.FeatureMatching(matching=gx.Matching.ONE_TO_ONE, reduce=gx.Reduction.SIMILARITY, weight=3000)],
        FIRST,
    ),
    "feature_multi": ([gx.FeatureMatching(matching=gx.Matching.MULTI_LAYER, reduce=gx.Reduction.SPATIAL)], FIRST),
    "feature_adaptive": ([gx.FeatureMatching(matching=gx.Matching.ADAPTIVE)], FIRST),
    "dkd": ([gx.DKD()], FIRST),
    "lskd": ([gx.LogitStandardization()], FIRST),
    "progressive": ([gx.Progressive(assistants=(ASSISTANT,), soft_target=KD)], FIRST),
    "multi_average": ([multi(gx.Weighting.AVERAGE)], tuple(TEACHERS)),
    "multi_validation": ([multi(gx.Weighting.VALIDATION)], tuple(TEACHERS)),
    "multi_attention": ([multi(gx.Weighting.ATTENTION)], tuple(TEACHERS)),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=["teachers", *METHODS], default=[])
    only = parser.parse_args().only
    print("estimate: 5 hours on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    task = load()
    taught = Teachers(task)
    if only:
        for name in only:
            if name == "teachers":
                taught.all()
            else:
                for model in students(task, taught, name, "mobilenet_v3_small"):
                    predictions(setting(task, 0), model, SplitName.VALIDATION)
        return
    declare_comparison(task, f"HAM10000-64: {', '.join(METHODS)} with MobileNetV3-small; the best two with ResNet-8")
    figures, details = table(task, taught, "mobilenet_v3_small", list(METHODS))
    ranked = sorted(details["methods"], key=lambda name: -details["methods"][name]["validation_auc"])
    best = [name for name in ranked if name != "plain"][:2]
    again, more = table(task, taught, "resnet8", ["plain", *best])
    figures |= {f"resnet8.{key}": value for key, value in again.items()}
    figures |= taught.figures()
    details = {
        "best_on_validation": best[0],
        "mobilenet_v3_small": details,
        "resnet8": more,
        "training": {name: config.model_dump(mode="json") for name, config in (TEACHERS | STUDENTS).items()},
    }
    write("ham_distillation", "HAM10000-64, own lesion split (ham10000_64)", started, figures, details)


def load() -> Task:
    options = {"classes": ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"], "positive": ["akiec", "bcc", "mel"]}
    return load_task(f"npz:{DATA / 'ham10000_64' / 'ham10000_64.npz'}", **options)


class Teachers:
    """The teachers, trained when they are first asked for."""

    def __init__(self, task: Task) -> None:
        self._task, self._found = task, dict[str, Teacher]()

    def __getitem__(self, name: str) -> Teacher:
        if name not in self._found:
            where = setting(self._task, 0)
            model = trained(where, fresh(self._task, name, 0), TEACHERS[name])
            seen = metrics(predictions(where, model, SplitName.VALIDATION))["auc"]
            print(f"{name}: validation AUC {seen.value:.4f}", flush=True)
            self._found[name] = replace(teacher(where, model), score=seen.value)
        return self._found[name]

    def all(self) -> list[Teacher]:
        return [self[name] for name in TEACHERS]

    def figures(self) -> dict[str, Any]:
        where = setting(self._task, 0)
        found = {}
        for name, config in TEACHERS.items():
            model = trained(where, fresh(self._task, name, 0), config)
            tested = metrics(predictions(where, model, SplitName.TEST))
            found[f"teacher.{name}.auc"] = metric_over_seeds([tested["auc"]], [0], "macro AUC")
            found[f"teacher.{name}.balanced_accuracy"] = metric_over_seeds(
                [tested["balanced_accuracy"]], [0], "fraction"
            )
        return found


def students(task: Task, taught: Teachers, name: str, net: str) -> list[Model]:
    """The method's students, one a seed."""
    methods, wanted = METHODS[name]
    config = STUDENTS[net]
    known = [taught[one] for one in wanted]
    return [trained(setting(task, seed), fresh(task, net, seed), config, methods, known) for seed in SEEDS]


def table(task: Task, taught: Teachers, net: str, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of every method with this student, and the details: validation, seeds, adjusted p-values."""
    models = {name: students(task, taught, name, net) for name in names}
    seen = {
        name: [predictions(setting(task, 0), one, SplitName.VALIDATION) for one in made]
        for name, made in models.items()
    }
    tested = {
        name: [predictions(setting(task, 0), one, SplitName.TEST) for one in made] for name, made in models.items()
    }
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name, found in tested.items():
        measured = [metrics(one) for one in found]
        figures[f"{name}.auc"] = metric_over_seeds([m["auc"] for m in measured], SEEDS, "macro AUC")
        balanced = [m["balanced_accuracy"] for m in measured]
        figures[f"{name}.balanced_accuracy"] = metric_over_seeds(balanced, SEEDS, "fraction")
        details[name] = {"validation_auc": float(np.mean([metrics(one)["auc"].value for one in seen[name]]))}
        if name != "plain":
            value, error, seeds = gain(found, tested["plain"])
            low, high = value - 1.96 * error, value + 1.96 * error
            figures[f"{name}.gain"] = figure(value, "macro AUC", low=low, high=high, n=len(task.test), seeds=SEEDS)
            details[name] |= {"gain_of_seeds": seeds, "p": float(2 * norm.sf(abs(value) / error))}
    best = max((name for name in names if name != "plain"), key=lambda name: details[name]["validation_auc"])
    others = [name for name in names if name not in ("plain", best)]
    for name, p in zip(others, holm([details[name]["p"] for name in others]), strict=True):
        details[name]["p_holm"] = p
    for name in names:
        if name != "plain":
            details[name]["says"] = says(
                figures[f"{name}.gain"]["value"], details[name].get("p_holm", details[name]["p"])
            )
    return figures, {"best_on_validation": best, "methods": details}


def gain(taught: Sequence[Predictions], plain: Sequence[Predictions]) -> tuple[float, float, list[float]]:
    """The mean gain in macro AUC, its standard error, and the gain of each seed.

    variance = DeLong's of the mean over seeds (the cases are the same ones) + variance between seeds / seeds
    """
    pairs = [
        (macro_auc(a.probabilities(), a.labels), macro_auc(b.probabilities(), b.labels))
        for a, b in zip(taught, plain, strict=True)
    ]
    seeds = [a.value - b.value for a, b in pairs]
    influence = np.mean([a.influence - b.influence for a, b in pairs], axis=0)
    variance = stratified_variance(influence, pairs[0][0].strata) + float(np.var(seeds, ddof=1)) / len(seeds)
    return float(np.mean(seeds)), float(np.sqrt(variance)), seeds


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the k-th smallest of m times (m - k + 1), never falling, at most 1."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(np.argsort(p)):
        largest = max(largest, min(1.0, p[index] * (len(p) - rank)))
        adjusted[index] = largest
    return adjusted


def says(value: float, p: float) -> str:
    if p >= 0.05:
        return "no difference from plain shown"
    return "helps" if value > 0 else "harms"


if __name__ == "__main__":
    main()
