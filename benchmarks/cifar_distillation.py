"""CIFAR-10 (JPEG copy): distil, then INT8: python benchmarks/cifar_distillation.py [--only PART ...]

    teacher             ResNet-20, twice as wide
    resnet8             a student of at most 80,000 parameters, taught by soft targets; and alone (resnet8.plain)
    resnet20.METHOD     a ResNet-20 alone (plain) and taught by METHOD
    *.int8              the same as INT8 files
Every accuracy is of the exported file in ONNX Runtime on the 10,000 test images, which this comparison reads by design. At most
60 epochs a run. ``--only`` trains some parts and reports nothing, so that two cores can share the work.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

from galenic import methods as gx
from galenic.compress.method import Method, Teacher
from galenic.compress.supervised import Supervised
from galenic.gating.metrics import metrics
from galenic.pipeline.training_stages import run_phase
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.tasks.load import load_task
from galenic.zoo.model import Model, parameters
from lab import declare_comparison, fresh, predictions, setting, teacher, trained
from result import DATA, figure, metric_over_seeds, write

RESNET8_SEEDS, RESNET20_SEEDS = (0, 1), (0,)
COMMON = {
    "batch_size": 128,
    "flips": "horizontal",
    "rotation_degrees": 0,
    "zoom": 0,
    "shift": 0.125,
    "precision": "bfloat16",
    "memory_format": "channels-last",
    "weight_decay": 0.02,
}
TEACHER = TrainingConfig(epochs=30, learning_rate=3e-3, ema_decay=0.999, **COMMON)
RESNET8 = TrainingConfig(epochs=60, learning_rate=6e-3, ema_decay=0.999, **COMMON)
RESNET20 = TrainingConfig(epochs=16, learning_rate=4e-3, ema_decay=0.999, **COMMON)
VIEWS = 10
METHODS: dict[str, Callable[[], Method]] = {
    "plain": Supervised,
    "kd": lambda: gx.SoftTarget(temperature=4.0, alpha=0.9, views=VIEWS),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=["teacher", "resnet8", "resnet20"], default=[])
    only = parser.parse_args().only
    print("estimate: 5 hours on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    task = load()
    where = setting(task, 0)
    master = trained(where, fresh(task, "resnet20", 0, width=2), TEACHER)
    taught = teacher(where, master)
    if only:
        for part in only:
            {"teacher": list, "resnet8": resnet8, "resnet20": resnet20}[part](task, taught)
        return
    declare_comparison(task, "CIFAR-10: ResNet-8 and ResNet-20, alone and distilled, float and INT8")
    figures: dict[str, Any] = {"teacher.accuracy": accuracy(task, [master], [0])}
    small = resnet8(task, taught)
    figures["resnet8.accuracy"] = accuracy(task, small["kd"], RESNET8_SEEDS)
    figures["resnet8.plain.accuracy"] = accuracy(task, small["plain"], RESNET8_SEEDS[: len(small["plain"])])
    figures["resnet8.int8.accuracy"] = accuracy(task, [int8(task, one) for one in small["kd"]], RESNET8_SEEDS)
    count = parameters(small["kd"][0])
    figures["resnet8.parameters"] = figure(count, "parameters", low=count, high=count, n=1, seeds=[])
    for name, models in resnet20(task, taught).items():
        figures[f"resnet20.{name}.accuracy"] = accuracy(task, models, RESNET20_SEEDS)
        if name == "kd":
            integers = [int8(task, one) for one in models]
            figures["resnet20.int8.accuracy"] = accuracy(task, integers, RESNET20_SEEDS)
    details = {
        "training": {"teacher": TEACHER.model_dump(mode="json"), "resnet8": RESNET8.model_dump(mode="json")},
        "resnet20": RESNET20.model_dump(mode="json"),
    }
    write("cifar_distillation", "CIFAR-10, JPEG copy (cifar10_jpeg)", started, figures, details)


def load() -> Task:
    return load_task("cifar10", path=DATA / "cifar10_jpeg" / "cifar10_jpeg.npz")


def resnet8(task: Task, taught: Teacher) -> dict[str, list[Model]]:
    return {
        "kd": [student(task, "resnet8", RESNET8, "kd", seed, taught) for seed in RESNET8_SEEDS],
        "plain": [student(task, "resnet8", RESNET8, "plain", 0, taught)],
    }


def resnet20(task: Task, taught: Teacher) -> dict[str, list[Model]]:
    return {
        name: [student(task, "resnet20", RESNET20, name, seed, taught) for seed in RESNET20_SEEDS] for name in METHODS
    }


def student(task: Task, net: str, config: TrainingConfig, method: str, seed: int, taught: Teacher) -> Model:
    return trained(setting(task, seed), fresh(task, net, seed), config, [METHODS[method]()], [taught])


def int8(task: Task, model: Model) -> Model:
    return run_phase(setting(task, 0), [gx.StaticInt8()], model)[-1]


def accuracy(task: Task, models: Sequence[Model], seeds: Sequence[int]) -> dict[str, Any]:
    tested = [predictions(setting(task, 0), model, SplitName.TEST) for model in models]
    return metric_over_seeds([metrics(one)["accuracy"] for one in tested], seeds, "fraction")


if __name__ == "__main__":
    main()
