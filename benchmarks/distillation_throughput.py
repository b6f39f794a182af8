"""Distillation with cached teachers beside the same training with the teacher run live on every batch.

    python benchmarks/distillation_throughput.py [--smoke]

    cached_over_live.TEACHER            rows a second, warm epoch / epoch with the teacher live, in its fastest form here
    cached_over_live_float32.TEACHER    the same, live in its fastest float32 form: the arithmetic of the cached answers
    cached_over_live.3_teachers         rows a second of warm epochs, three teachers / one: 1 is "no slower"
    fill_seconds                        to ask ResNet-18 once about 8 views of these rows
    break_even_epochs                   8 views filled first, after so many epochs the cache has cost no more than it saved
A MobileNetV3-small learns HAM10000-64 (64 px), with the views of ham_distillation.py. Three forms of a live teacher are timed
first: ONNX Runtime float32, torch float32, torch bfloat16 (both channels last). ONNX Runtime fills the cache, as always.
Trainings take turns in one process, in the other direction every second time; an epoch's time is the median of a training's
epochs but the first, a figure the median of the repetitions. Teachers are untrained: weights do not matter for time.
``--smoke`` runs a few rows once and writes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galenic.compress.distill.answers import logit_cache
from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench, Contribution, Teacher, train_together
from galenic.pipeline.file_stages import export_stage
from galenic.pipeline.reference import as_teacher
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import resolved_training
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.store.stages import Store
from galenic.tasks.load import load_task
from galenic.training.objective import Batch
from galenic.training.teacher_cache import Predict
from galenic.zoo.build import build
from galenic.zoo.model import Model
from lab import Stopwatch
from result import DATA, figure, write

TEACHERS = ("resnet18", "resnet50")
ALL_VIEWS = 8
VIEWS = {"flips": "both", "rotation_degrees": 45, "zoom": 0.15, "shift": 0.08}
TRAINING = {"batch_size": 128, "learning_rate": 3e-3, "ema_decay": 0.99, "class_weighting": "balanced"} | VIEWS


@dataclass(frozen=True)
class Size:
    """How much is run."""

    rows: int = 2048
    warm_epochs: int = 5
    live_epochs: int = 3
    repetitions: int = 3
    threads: int = 2


SMOKE = Size(rows=32, warm_epochs=2, live_epochs=2, repetitions=1, threads=1)


class Live:
    """Answers like a TeacherCache, by asking every time."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict

    def answers(self, batch: Batch) -> torch.Tensor:
        return torch.from_numpy(self._predict(batch.inputs.numpy()))


@dataclass(frozen=True)
class LiveSoftTarget:
    """SoftTarget with the teacher in the place of its cache."""

    predict: Predict
    method: SoftTarget
    name = "soft_target"

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        made = self.method.contribute(model, bench)
        made.terms[0].cache = Live(self.predict)
        return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    smoke = parser.parse_args().smoke
    size = SMOKE if smoke else Size()
    print("estimate: 7 minutes on 2 quiet cores")
    started = time.monotonic()
    torch.set_num_threads(size.threads)
    task = rows_of(load_task(f"npz:{DATA / 'ham10000_64' / 'ham10000_64.npz'}"), size.rows)
    with tempfile.TemporaryDirectory() as folder:
        figures, details = measured(task, Path(folder), size)
    if smoke:
        print(details, *figures.items(), sep="\n")
    else:
        write("distillation_throughput", "HAM10000-64, own lesion split (ham10000_64)", started, figures, details)


def measured(task: Task, folder: Path, size: Size) -> tuple[dict[str, Any], dict[str, Any]]:
    """All figures, and what they were made of."""
    shape, setting = task.preprocessing.input_shape, Setting(task, Store(folder), threads=size.threads)
    student = build("mobilenet_v3_small", shape, task.outputs)
    config = resolved_training(setting, TrainingConfig(epochs=size.warm_epochs, **TRAINING), student)
    bench = Bench(task, 0, folder, config, answers=folder / "answers")
    models = {name: build(name, shape, task.outputs) for name in TEACHERS}
    teachers = {name: taught_by(setting, model) for name, model in models.items()}
    others = [taught_by(setting, build("resnet18", shape, task.outputs, seed=seed)) for seed in (1, 2)]
    forms = {name: forms_of(models[name], teachers[name]) for name in TEACHERS}
    speeds = {name: rows_a_second(forms[name], shape, config.batch_size) for name in TEACHERS}
    print(speeds, flush=True)
    fill = {name: seconds_to_fill(replace(bench, teachers=(teachers[name],))) for name in TEACHERS}
    for teacher in others:
        seconds_to_fill(replace(bench, teachers=(teacher,)))
    runs = trainings(student, bench, teachers, others, live_teachers(forms, speeds), size.live_epochs)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repetition in range(size.repetitions):
        for name in list(runs)[:: 1 if repetition % 2 == 0 else -1]:
            seconds[name].append(runs[name](folder / f"{name}-{repetition}"))
            print(f"{name} {seconds[name][-1]:.3f} s an epoch", flush=True)
    rows = len(task.train)
    details = {
        "seconds_an_epoch": seconds,
        "rows_a_second": {name: rows / float(np.median(each)) for name, each in seconds.items()},
        "teacher_rows_a_second_by_form": speeds,
        "fastest_form": {name: fastest(speeds[name]) for name in TEACHERS},
        "seconds_to_fill_a_view": fill,
        "cache_bytes": {f"{ALL_VIEWS} views of these rows, one teacher": 4 * ALL_VIEWS * rows * task.outputs},
        "rows": rows,
        "threads": size.threads,
        "training": config.model_dump(mode="json"),
    }
    return figures_of(seconds, fill, rows), details


def live_teachers(
    forms: Mapping[str, Mapping[str, Predict]], speeds: Mapping[str, Mapping[str, float]]
) -> dict[str, Predict]:
    """``live.TEACHER`` in its fastest form, and ``live_float32.TEACHER`` where the fastest float32 form is another."""
    chosen = {}
    for name in TEACHERS:
        best = fastest(speeds[name])
        best32 = fastest({form: speed for form, speed in speeds[name].items() if "float32" in form})
        chosen[f"live.{name}"] = forms[name][best]
        if best32 != best:
            chosen[f"live_float32.{name}"] = forms[name][best32]
    return chosen


def trainings(
    student: Model,
    bench: Bench,
    teachers: Mapping[str, Teacher],
    others: Sequence[Teacher],
    live: Mapping[str, Predict],
    live_epochs: int,
) -> dict[str, Callable[[Path], float]]:
    """Every training by name, as a function from a new folder to the seconds of an epoch."""
    from galenic.compress.distill.multi_teacher import MultiTeacher

    cached = SoftTarget(views=1)
    live_config = bench.training.model_copy(update={"epochs": live_epochs})
    runs = {}
    for name, teacher in teachers.items():
        one = replace(bench, teachers=(teacher,))
        runs[f"warm.{name}"] = epoch_timer(cached, student, one)
        for kind in (f"live.{name}", f"live_float32.{name}"):
            if kind in live:
                runs[kind] = epoch_timer(
                    LiveSoftTarget(live[kind], cached), student, replace(one, training=live_config)
                )
    three = replace(bench, teachers=(teachers["resnet18"], *others))
    return runs | {"warm.3_teachers": epoch_timer(MultiTeacher(weighting="average", views=1), student, three)}


def figures_of(seconds: Mapping[str, list[float]], fill: Mapping[str, float], rows: int) -> dict[str, Any]:
    """All figures from seconds an epoch of every run and seconds to fill one view."""
    figures = {}
    for name, form in ((name, form) for form in ("", "_float32") for name in TEACHERS):
        live = seconds.get(f"live{form}.{name}", seconds[f"live.{name}"])
        unit = f"ratio of throughputs, warm cache / {name} run live on every batch in its fastest {form[1:]} form"
        figures[f"cached_over_live{form}.{name}"] = median_of(
            ratios(live, seconds[f"warm.{name}"]), " ".join(unit.split()), rows
        )
    figures["cached_over_live.3_teachers"] = median_of(
        ratios(seconds["warm.resnet18"], seconds["warm.3_teachers"]),
        "ratio of throughputs, warm, three cached teachers / one cached teacher (not over live)",
        rows,
    )
    filled = fill["resnet18"] * ALL_VIEWS
    saved = [live - warm for live, warm in zip(seconds["live.resnet18"], seconds["warm.resnet18"], strict=True)]
    unit = f"seconds, ResNet-18 answers {ALL_VIEWS} views of {rows} rows ({ALL_VIEWS} times one view)"
    figures["fill_seconds"] = median_of([filled], unit, rows)
    unit = f"epochs, ResNet-18, seconds to fill {ALL_VIEWS} views / seconds saved in a warm epoch"
    figures["break_even_epochs"] = median_of([filled / each for each in saved], unit, rows)
    return figures


def rows_of(task: Task, rows: int) -> Task:
    """The task with the first rows of a shuffled training split."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(task.train))[:rows])
    return replace(task, splits={**task.splits, SplitName.TRAIN: task.train.take(chosen)})


def taught_by(setting: Setting, model: Model) -> Teacher:
    return as_teacher(setting, export_stage(setting, model, "onnxruntime"), model.lineage[0])


def forms_of(model: Model, teacher: Teacher) -> dict[str, Predict]:
    """The ways to ask this teacher."""
    module = model.module.eval().to(memory_format=torch.channels_last)

    def by_torch(half: bool) -> Predict:
        def predict(inputs: np.ndarray) -> np.ndarray:
            given = torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                return module(given).float().numpy()

        return predict

    return {"onnxruntime float32": teacher.predict, "torch float32": by_torch(False), "torch bfloat16": by_torch(True)}


def rows_a_second(forms: Mapping[str, Predict], shape: Sequence[int], batch: int) -> dict[str, float]:
    """Of every form, by the median of five batches after two to warm up."""
    inputs = np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)
    found = {}
    for name, predict in forms.items():
        taken = []
        for _ in range(7):
            start = time.perf_counter()
            predict(inputs)
            taken.append(time.perf_counter() - start)
        found[name] = batch / float(np.median(taken[2:]))
    return found


def fastest(forms: Mapping[str, float]) -> str:
    return max(forms, key=forms.__getitem__)


def seconds_to_fill(bench: Bench) -> float:
    """Of one view, which the trainings then find in the cache; they have no other."""
    cache = logit_cache(bench, bench.teachers[0], 1)
    nothing = Batch(torch.zeros(0), torch.zeros(0), np.arange(1), 0)
    start = time.perf_counter()
    cache.answers(nothing)
    seconds = time.perf_counter() - start
    assert cache.asked == len(bench.task.train)
    return seconds


def epoch_timer(method: Any, student: Model, bench: Bench) -> Callable[[Path], float]:
    """A function from a new folder to the median seconds of an epoch; the first epoch warms up."""

    def run(folder: Path) -> float:
        watch = Stopwatch()
        train_together([method], student, replace(bench, folder=folder, progress=watch))
        return float(np.median(watch.epochs[1:]))

    return run


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(over, under, strict=True)]


def median_of(values: Sequence[float], unit: str, rows: int) -> dict[str, Any]:
    low, high, repetitions = min(values), max(values), range(len(values))
    return figure(float(np.median(values)), unit, low=low, high=high, n=rows, seeds=list(repetitions))


if __name__ == "__main__":
    main()
