"""What an epoch of distillation costs beside an epoch of plain training of the same student: python benchmarks/distillation_cost.py

    cached_over_plain     a warm epoch (every logit in the cache) / a plain epoch
    live_over_plain       an epoch in which the teacher answers every row / a plain epoch
    spread_over_plain     warm / plain, plus the filling of 8 views spread over 60 epochs
ResNet-18 teaches ResNet-20 on PneumoniaMNIST (28 px). Plain and distilled trainings take turns, in one process, 3 times; epoch
times are medians (the first epoch of each training warms up and is left out). The teacher's weights do not matter for time.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench
from galenic.compress.supervised import Supervised
from galenic.pipeline.file_stages import export_stage
from galenic.pipeline.reference import as_teacher
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import resolved_training
from galenic.record.training import TrainingConfig
from galenic.store.stages import Store
from galenic.tasks.load import load_task
from galenic.zoo.build import build
from lab import Stopwatch
from result import DATA, spread_over_seeds, write

SEEDS = (0, 1, 2)
VIEWS, EPOCHS, SPREAD_VIEWS, SPREAD_EPOCHS = 3, 8, 8, 60
THREADS = 2


def main() -> None:
    print("estimate: 6 minutes on 2 quiet cores")
    started = time.monotonic()
    torch.set_num_threads(THREADS)
    path = DATA / "pneumoniamnist" / "pneumoniamnist_rebuilt.npz"
    task = load_task(f"npz:{path}", overlap="drop-train")
    shape = task.preprocessing.input_shape
    plain, live, warm = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(task, Store(Path(folder)), threads=THREADS)
        teacher = as_teacher(setting, export_stage(setting, build("resnet18", shape, 2), "onnxruntime"), "resnet18")
        student = build("resnet20", shape, 2)
        config = resolved_training(setting, TrainingConfig(epochs=EPOCHS, batch_size=64), student)
        for seed in SEEDS:
            watch = Stopwatch()
            bench = Bench(task, seed, Path(folder) / f"plain{seed}", config, progress=watch)
            Supervised().apply(student, bench)
            plain.append(float(np.median(watch.epochs[1:])))
            watch = Stopwatch()
            bench = replace(bench, folder=Path(folder) / f"taught{seed}", teachers=(teacher,), progress=watch)
            SoftTarget(views=VIEWS).apply(student, bench)
            live.append(float(np.median(watch.epochs[1:VIEWS])))
            warm.append(float(np.median(watch.epochs[VIEWS:])))
            print(f"plain {plain[-1]:.2f} s, filling {live[-1]:.2f} s, warm {warm[-1]:.2f} s an epoch")
    fill = [(cold - hot) * SPREAD_VIEWS / SPREAD_EPOCHS for cold, hot in zip(live, warm, strict=True)]
    rows = len(task.train)
    figures = {
        "cached_over_plain": ratio(warm, plain, rows),
        "live_over_plain": ratio(live, plain, rows),
        "spread_over_plain": ratio([hot + more for hot, more in zip(warm, fill, strict=True)], plain, rows),
    }
    details = {
        "plain_seconds": plain,
        "live_seconds": live,
        "warm_seconds": warm,
        "training": config.model_dump(mode="json"),
    }
    write("distillation_cost", "PneumoniaMNIST, rebuilt (pneumoniamnist)", started, figures, details)


def ratio(over: list[float], under: list[float], rows: int) -> dict:
    return spread_over_seeds([a / b for a, b in zip(over, under, strict=True)], SEEDS, "ratio of epoch times", rows)


if __name__ == "__main__":
    main()
