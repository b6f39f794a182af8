"""What the distillation benchmarks share: trainings kept in runs/, so that a killed benchmark goes on, and their answers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from galenic.compress.method import Method, Teacher
from galenic.compress.supervised import Supervised
from galenic.pipeline.file_stages import export_stage, predict_stage
from galenic.pipeline.reference import as_teacher
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import resolved_training, run_phase
from galenic.record.gate import Floors, Margins
from galenic.record.predictions import Predictions
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.store.ledger import Read
from galenic.store.stages import Store
from galenic.zoo.build import build
from galenic.zoo.model import Model

RUNTIME = "onnxruntime"
THREADS = int(os.environ.get("GALENIC_THREADS", "2"))
STORE = Store(Path(os.environ.get("GALENIC_STORE", "runs")))


def say(work: str, done: int, total: int, note: str = "") -> None:
    """A progress sink for logs: one line an epoch."""
    print(f"{work} {done}/{total} {note}", flush=True)


class Stopwatch:
    """A progress sink that keeps the seconds of each epoch of the first piece of work that it hears of, the training."""

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self._work, self._last = "", 0.0

    def __call__(self, work: str, done: int, total: int, note: str = "") -> None:
        self._work = self._work or work
        if work != self._work:
            return
        now = time.perf_counter()
        if done:
            self.epochs.append(now - self._last)
        self._last = now


def setting(task: Task, seed: int) -> Setting:
    return Setting(task, STORE, seed, THREADS, say)


def fresh(task: Task, name: str, seed: int, **options: object) -> Model:
    return build(name, task.preprocessing.input_shape, task.outputs, seed=seed, options=options)


def trained(
    where: Setting,
    model: Model,
    config: TrainingConfig,
    methods: Sequence[Method] = (Supervised(),),
    teachers: Sequence[Teacher] = (),
) -> Model:
    """The last model that a phase makes."""
    return run_phase(where, methods, model, resolved_training(where, config, model), teachers)[-1]


def teacher(where: Setting, model: Model) -> Teacher:
    return as_teacher(where, export_stage(where, model, RUNTIME), model.lineage[0], model)


def predictions(where: Setting, model: Model, split: SplitName) -> Predictions:
    """What the model's file in its runtime says."""
    return predict_stage(where, export_stage(where, model, RUNTIME), split)


def declare_comparison(task: Task, subject: str) -> None:
    """A comparison of methods reads the test set by design: it is entered in the ledger."""
    read = Read(
        split_hash=task.split_hashes["test"],
        purpose="comparison",
        subject=subject,
        margins=Margins(),
        floors=Floors(),
        alpha=0.025,
    )
    setting(task, 0).ledger.enter(read)
