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
from typing import Any

from galenic.gating.metrics import metrics
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.tasks.load import load_task
from lab import fresh, predictions, setting, trained
from result import DATA

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
    "resnet8": TrainingConfig(epochs=40, learning_rate=3e-3, precision="float32", **COMMON),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=[])
    only = parser.parse_args().only
    print("estimate: 150 minutes on one core, less what is in runs/", flush=True)
    task = load()
    taught = teachers(task)


def load() -> Task:
    options = {"classes": ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"], "positive": ["akiec", "bcc", "mel"]}
    return load_task(f"npz:{DATA / 'ham10000_64' / 'ham10000_64.npz'}", **options)


def teachers(task: Task) -> dict[str, Any]:
    where = setting(task, 0)
    found = {}
    for name, config in TEACHERS.items():
        found[name] = trained(where, fresh(task, name, 0), config)
        seen = metrics(predictions(where, found[name], SplitName.VALIDATION))
        print(
            f"{name}: validation AUC {seen['auc'].value:.4f}, balanced accuracy {seen['balanced_accuracy'].value:.4f}",
            flush=True,
        )
    return found


if __name__ == "__main__":
    main()
