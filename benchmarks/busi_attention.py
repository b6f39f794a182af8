"""Does a student learn where to look? Breast ultrasound with lesion masks: python benchmarks/busi_attention.py [--smoke]

A ResNet-18 teaches a MobileNetV3-small at 128 px, 3 seeds: from the labels alone (plain), from soft targets too (kd), and with
attention transfer beside them (attention). Nothing is chosen by looking: temperature, alpha and the weight of attention are the
methods' defaults, the layers those that are suggested.

    MODEL.pointing_game   share of test lesions in whose mask the attention map's largest value lies
    MODEL.overlap         part of the lesion in the 20 % of the image with the largest values; 0.2 by chance
    MODEL.auc             of the exported file, all test cases
The map is A(F), mean over channels of F^2, of the last stage that has at least 8 x 8 positions, for teacher and student alike.
Lesions that the centre crop cut to less than half are left out, as are the normal cases. ``centre`` is a map that points at the
middle of every image: lesions lie there often, so this is what a map has to beat. Intervals are over cases, each the mean of its
seeds; ``attention.gain.*`` is attention minus plain, ``attention.over_kd.*`` minus kd, both paired by case and not adjusted. 17 of
the 156 test images have a near-duplicate in train or validation (one, identical, is dropped from train). ``--smoke`` runs one epoch
and one seed, judges on validation and writes nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from galenic.compress.distill import AttentionTransfer, SoftTarget
from galenic.compress.distill.attention import attention_map
from galenic.compress.distill.suggest import find_stages
from galenic.compress.method import Method
from galenic.compress.supervised import Supervised
from galenic.gating.metrics import metrics
from galenic.measuring.localisation import TOP_SHARE, pointing_game, top_area_overlap
from galenic.preprocess.transform import to_inputs
from galenic.record.task import Split, SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.stats.estimate import Estimate
from galenic.stats.paired_proportions import paired_mean_interval
from galenic.stats.proportions import mean_interval
from galenic.tasks.load import load_task
from galenic.training.layers import captured
from galenic.zoo.model import Model
from lab import declare_comparison, fresh, predictions, setting, teacher, trained
from result import DATA, figure, metric_over_seeds, write

FILE = DATA / "busi" / "busi_128.npz"
SEEDS = (0, 1, 2)
LEAST_SIDE = 8
LEAST_KEPT = 0.5
VIEWS = 6
COMMON = {"batch_size": 32, "ema_decay": 0.98, "class_weighting": "balanced", "memory_format": "channels-last"}
TEACHER = TrainingConfig(epochs=30, learning_rate=1e-3, precision="bfloat16", **COMMON)
STUDENT = TrainingConfig(epochs=20, learning_rate=2e-3, precision="float32", **COMMON)
METHODS: Mapping[str, Sequence[Method]] = {
    "plain": (Supervised(),),
    "kd": (SoftTarget(views=VIEWS),),
    "attention": (SoftTarget(views=VIEWS), AttentionTransfer(views=VIEWS)),
}
SCORES = {"pointing_game": pointing_game, "overlap": top_area_overlap}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    smoke = parser.parse_args().smoke
    started = time.monotonic()
    print("estimate: 25 minutes of one core, less what is in the store", flush=True)
    seeds = SEEDS[:1] if smoke else SEEDS
    teacher_config, student_config = (
        config.model_copy(update={"epochs": 1}) if smoke else config for config in (TEACHER, STUDENT)
    )
    task = load_task(
        f"npz:{FILE}",
        overlap="drop-train",
        id_key="names",
        classes=["malignant", "normal or benign"],
        positive=["malignant"],
    )
    models = students(task, seeds, teacher_config, student_config)
    if smoke:
        print(judged(task, models, seeds, SplitName.VALIDATION))
        return
    declare_comparison(task, "where teacher, plain, kd and attention students look on BUSI")
    figures, details = judged(task, models, seeds, SplitName.TEST)
    details["on_validation"] = judged(task, models, seeds, SplitName.VALIDATION)[0]
    write("busi_attention", "BUSI at 128 px with lesion masks (busi)", started, figures, details)


def students(
    task: Task, seeds: Sequence[int], teacher_config: TrainingConfig, student_config: TrainingConfig
) -> dict[str, list[Model]]:
    """The teacher, and every method's students by seed."""
    first = setting(task, 0)
    taught = trained(first, fresh(task, "resnet18", 0), teacher_config)
    models: dict[str, list[Model]] = {"teacher": [taught]}
    for name, methods in METHODS.items():
        models[name] = []
        for seed in seeds:
            where = setting(task, seed)
            start = fresh(task, "mobilenet_v3_small", seed)
            teachers = [] if name == "plain" else [teacher(where, taught)]
            models[name].append(trained(where, start, student_config, methods, teachers))
            seen = metrics(predictions(where, models[name][-1], SplitName.VALIDATION))
            print(f"{name}, seed {seed}: validation AUC {seen['auc'].value:.4f}", flush=True)
    return models


def judged(
    task: Task, models: Mapping[str, list[Model]], seeds: Sequence[int], split: SplitName
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All figures on one split, and what they rest on: the layers, and each model's scores by seed."""
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    by_case: dict[str, dict[str, np.ndarray]] = {}
    masks = masks_of(lesions(task.splits[split], split))
    for name, ones in models.items():
        trained_with = seeds[: len(ones)]
        found = [scores(task, model, split) for model in ones]
        by_case[name] = {score: np.mean([one[score] for one in found], axis=0) for score in SCORES}
        aucs = [
            metrics(predictions(setting(task, seed), model, split))["auc"]
            for seed, model in zip(trained_with, ones, strict=True)
        ]
        for score, values in by_case[name].items():
            figures[f"{name}.{score}"] = as_figure(mean_interval(values), trained_with)
        figures[f"{name}.auc"] = metric_over_seeds(aucs, trained_with, "AUC")
        details[name] = {
            "layer": judged_layer(task, ones[0]),
            "by_seed": [{score: float(one[score].mean()) for score in SCORES} for one in found],
        }
    for score, measure in SCORES.items():
        for name, other in (("gain", "plain"), ("over_kd", "kd")):
            gain = paired_mean_interval(by_case["attention"][score], by_case[other][score])
            figures[f"attention.{name}.{score}"] = as_figure(gain, seeds)
        central = measure(central_maps(len(masks)), masks).astype(float)
        figures[f"centre.{score}"] = as_figure(mean_interval(central), ())
    reachable = np.minimum(1, TOP_SHARE / masks.mean(axis=(1, 2)))
    details["best_reachable_overlap"] = float(reachable.mean())
    return figures, details


def scores(task: Task, model: Model, name: SplitName) -> dict[str, np.ndarray]:
    """Score -> (lesions,) in [0, 1] of one split."""
    cases = lesions(task.splits[name], name)
    maps, masks = attention_of(task, model, cases), masks_of(cases)
    return {score: measure(maps, masks).astype(float) for score, measure in SCORES.items()}


def lesions(split: Split, name: SplitName) -> Split:
    """The cases with a lesion of which the crop left at least half."""
    short = {SplitName.TEST: "test", SplitName.VALIDATION: "val"}[name]
    with np.load(FILE) as file:
        ids = file[f"{short}_names"].astype(str)
        kept = dict(zip(ids, file[f"{short}_mask_kept"].ravel() >= LEAST_KEPT, strict=True))
        lesion = dict(zip(ids, file[f"{short}_labels3"].ravel() > 0, strict=True))
    return split.take(np.array([kept[one] and lesion[one] for one in split.ids]))


def masks_of(cases: Split) -> np.ndarray:
    assert cases.masks is not None
    return cases.masks


def attention_of(task: Task, model: Model, cases: Split) -> np.ndarray:
    """A(F) of the judged layer, (lesions, h, w)."""
    layer = judged_layer(task, model)
    found = []
    for start in range(0, len(cases), 64):
        inputs = torch.from_numpy(to_inputs(task.preprocessing, cases.inputs[start : start + 64]))
        with torch.no_grad(), captured(model.module, [layer]) as seen:
            model.module(inputs)
        size = tuple(seen[layer].shape[2:])
        found.append(attention_map(seen[layer], size).unflatten(1, size).numpy())
    return np.concatenate(found)


def judged_layer(task: Task, model: Model) -> str:
    """The end of the last stage with at least 8 x 8 positions."""
    inputs = torch.from_numpy(to_inputs(task.preprocessing, task.train.inputs[:2]))
    stages = find_stages(model.module, inputs)[1]
    return [stage.path for stage in stages if min(stage.shape[1:]) >= LEAST_SIDE][-1]


def central_maps(count: int) -> np.ndarray:
    """(count, 8, 8) maps that fall off from the middle."""
    place = (np.arange(LEAST_SIDE) - (LEAST_SIDE - 1) / 2) ** 2
    return np.repeat(-(place[:, None] + place)[None], count, axis=0)


def as_figure(found: Estimate, seeds: Sequence[int]) -> dict[str, Any]:
    return figure(found.value, "fraction", low=found.low, high=found.high, n=found.n, seeds=seeds)


if __name__ == "__main__":
    main()
