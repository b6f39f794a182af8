"""Hinton's MNIST experiments (arXiv:1503.02531, section 3): python benchmarks/hinton_mnist.py [--only PART ...]

    teacher      2 x 1200 units, on moved views
    plain        2 x 800 units, labels alone, no regularisation, the images as they are
    distilled    2 x 800 units, T = 20, the teacher's targets for moved views
    unjittered   the same on the images as they are, as in the paper
    jittered     labels alone on moved views: the control for ``distilled``
    omitted3     distilled, moved, without any three in its training set; the bias of the three is set afterwards so that
                 the share of unlabelled images that are called a three is the class prior
    T.UNITS      T from 1 to infinity at 800 and at 30 units, one seed, moved views, half the epochs
A moved view is shifted by up to 2 pixels, turned by up to 12 degrees, scaled by up to 10 % and warped a little. The paper's teacher
had shifts, dropout and a limit on its weights; this mixture was chosen on validation images. Models learn from 59,000 of the
60,000 training images (1,000 validate); the 10,000 test images are read by design, once a model.
``--only`` trains some parts and reports nothing, so that two cores can share the work. Plots: runs/plots/hinton_mnist.html.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from galenic import methods as gx
from galenic.compress.method import Teacher
from galenic.compress.supervised import Supervised
from galenic.pipeline.training_stages import run_phase
from galenic.record.predictions import Predictions
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.stats.proportions import wilson
from galenic.tasks.load import load_task
from galenic.zoo.model import Model
from hinton_plot import write_plot
from lab import declare_comparison, fresh, predictions, setting, teacher, trained
from result import DATA, figure, write

SEEDS = (0, 1, 2, 3, 4)
TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 20.0, 50.0, math.inf)
CONTROL_SEEDS = (0,)
PLAIN_EPOCHS, EPOCHS = 20, 60
UNLABELLED = 5900
MOVES = {"flips": "none", "rotation_degrees": 12, "zoom": 0.1, "shift": 2 / 28, "warp": 0.03}
FAST = {"batch_size": 256, "weight_decay": 0.0, "precision": "bfloat16", "memory_format": "contiguous"}
TEACHER = TrainingConfig(epochs=100, learning_rate=1e-3, ema_decay=0.999, **FAST, **MOVES)
STILL = TrainingConfig(epochs=PLAIN_EPOCHS, learning_rate=1e-3, augment=False, **FAST)
MOVING = TrainingConfig(epochs=EPOCHS, learning_rate=1e-3, ema_decay=0.999, **FAST, **MOVES)
SHORT = MOVING.model_copy(update={"epochs": EPOCHS // 2})
SHORT_STILL = STILL.model_copy(update={"epochs": EPOCHS // 2})
SMALL, TINY = [800, 800], [30, 30]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=[])
    only = parser.parse_args().only
    print("estimate: 85 minutes on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    task = load_task("mnist", path=DATA / "mnist" / "mnist.npz", validation=1000)
    where = setting(task, 0)
    master = trained(where, fresh(task, "mlp", 0, hidden=[1200, 1200]), TEACHER)
    taught = teacher(where, master)
    if only:
        for part in only:
            PARTS[part](task, taught)
        return
    declare_comparison(task, "Hinton's MNIST experiments")
    found = {part: models(task, taught) for part, models in PARTS.items()}
    figures: dict[str, Any] = {"teacher.errors": errors([predictions(where, master, SplitName.TEST)], [0])}
    for part in ("plain", "jittered", "distilled", "unjittered", "omitted3_unbiased", "omitted3"):
        tested = [predictions(setting(task, 0), model, SplitName.TEST) for model in found[part]]
        figures[f"{part}.errors"] = errors(tested, SEEDS[: len(tested)])
        if part.startswith("omitted3"):
            figures[f"{part}.recall_of_3"] = recall_of_three(tested)
    curves = {}
    for units in ("800", "30"):
        tested = [predictions(setting(task, 0), model, SplitName.TEST) for model in found[f"T{units}"]]
        curves[units] = [int((one.decisions() != one.labels).sum()) for one in tested]
        figures |= {
            f"T{units}.{temperature:g}.errors": errors([one], [0])
            for temperature, one in zip(TEMPERATURES, tested, strict=True)
        }
    details = {
        "views": "those of teacher, jittered, distilled, omitted3 and T are moved; those of plain and unjittered are not",
        "moves": MOVES,
    }
    write("hinton_mnist", "MNIST (mnist)", started, figures, details)
    alone = figures["plain.errors"]["value"]
    print("plot", write_plot(TEMPERATURES, curves, alone, task, predictions(where, master, SplitName.TEST)))


def plain(task: Task, _: Teacher) -> list[Model]:
    return [student(task, seed, SMALL, STILL) for seed in SEEDS]


def jittered(task: Task, _: Teacher) -> list[Model]:
    return [student(task, seed, SMALL, MOVING) for seed in CONTROL_SEEDS]


def distilled(task: Task, taught: Teacher) -> list[Model]:
    return [student(task, seed, SMALL, MOVING, taught) for seed in SEEDS]


def unjittered(task: Task, taught: Teacher) -> list[Model]:
    return [student(task, seed, SMALL, SHORT_STILL, taught) for seed in CONTROL_SEEDS]


def omitted3_unbiased(task: Task, taught: Teacher) -> list[Model]:
    """Students that never saw a three."""
    kept = task.train.take(task.train.labels != 3)
    without = replace(task, splits={**task.splits, SplitName.TRAIN: kept})
    return [student(without, seed, SMALL, SHORT, taught, alpha=1.0) for seed in SEEDS]


def omitted3(task: Task, taught: Teacher) -> list[Model]:
    """The same with the bias of the three set from the class prior, on 5,900 images whose labels are not read."""
    prior = float((task.train.labels == 3).mean())
    models = omitted3_unbiased(task, taught)
    drawn = np.sort(np.random.default_rng(0).permutation(len(task.train))[:UNLABELLED])
    task = replace(task, splits={**task.splits, SplitName.CALIBRATION: task.train.take(drawn)})
    biased = [gx.ClassPrior(classes=("3",), prior=prior)]
    return [run_phase(setting(task, 0), biased, model)[-1] for model in models]


def at_temperatures(hidden: list[int]) -> Any:
    def models(task: Task, taught: Teacher) -> list[Model]:
        return [student(task, 0, hidden, SHORT, taught, temperature) for temperature in TEMPERATURES]

    return models


PARTS = {
    "plain": plain,
    "distilled": distilled,
    "omitted3_unbiased": omitted3_unbiased,
    "omitted3": omitted3,
    "unjittered": unjittered,
    "jittered": jittered,
    "T30": at_temperatures(TINY),
    "T800": at_temperatures(SMALL),
}


def student(
    task: Task,
    seed: int,
    hidden: Sequence[int],
    config: TrainingConfig,
    taught: Teacher | None = None,
    temperature: float = 20.0,
    alpha: float = 0.9,
) -> Model:
    where, start = setting(task, seed), fresh(task, "mlp", seed, hidden=list(hidden))
    if taught is None:
        return trained(where, start, config, [Supervised()])
    method = gx.SoftTarget(temperature=temperature, alpha=alpha, views=config.epochs)
    return trained(where, start, config, [method], [taught])


def errors(tested: Sequence[Predictions], seeds: Sequence[int]) -> dict[str, Any]:
    """Test errors: the mean over seeds, with the means of the ends of the seeds' Wilson intervals over cases."""
    ends = []
    for one in tested:
        wrong = int((one.decisions() != one.labels).sum())
        share = wilson(wrong, len(one))
        ends.append((wrong, share.low * len(one), share.high * len(one)))
    value, low, high = np.mean(ends, axis=0)
    return figure(float(value), "errors", low=float(low), high=float(high), n=len(tested[0]), seeds=list(seeds))


def recall_of_three(tested: Sequence[Predictions]) -> dict[str, Any]:
    ends = []
    for one in tested:
        threes = one.labels == 3
        share = wilson(int((one.decisions()[threes] == 3).sum()), int(threes.sum()))
        ends.append((share.value, share.low, share.high))
    value, low, high = np.mean(ends, axis=0)
    return figure(
        float(value), "share of threes", low=float(low), high=float(high), n=1010, seeds=list(range(len(tested)))
    )


if __name__ == "__main__":
    main()
