"""The five observers and the chosen one: python benchmarks/observers.py

    MODEL.OBSERVER.accuracy, MODEL.chosen.accuracy    of the INT8 file in ONNX Runtime on the test set, 3 draws of calibration rows
    MODEL.chosen_over_best                            the chosen file minus that of the observer that is best on the test set
    MODEL.worst_over_best                             the same for the worst: how far an observer can fall
MODEL is mobilenet_v3_small.cifar, mobilenet_v3_small.ham or efficientnet_b0.ham; also mobilenet_v3_small (CIFAR-10) and
efficientnet_b0 (HAM10000-64) alone. OBSERVER is taken as it is, without bias correction or equalisation; the chosen file is
static_int8 with nothing set. That the best of five is found on the test set is against the chosen one. Differences are paired.
"""

from __future__ import annotations

import time
from typing import Any

from galenic import methods as gx
from galenic.gating.metrics import metrics
from galenic.record.predictions import Predictions
from galenic.record.quant import Observer
from lab import RUNTIME, declare_comparison
from nets import DATA_SETS, DRAWS, changes, net, quantized, task_of, tested
from result import metric_over_seeds, write

CELLS = (("mobilenet_v3_small", "cifar"), ("mobilenet_v3_small", "ham"), ("efficientnet_b0", "ham"))
ALONE = {("mobilenet_v3_small", "cifar"), ("efficientnet_b0", "ham")}
METHODS: dict[str, Any] = {
    **{one.value: gx.StaticInt8(observer=one, correct_bias=False, equalise=False) for one in Observer},
    "chosen": gx.StaticInt8(),
}


def main() -> None:
    print("estimate: 35 minutes on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name, data in CELLS:
        task = task_of(data)
        declare_comparison(task, f"{data}: five observers and the chosen one, {name}")
        model = net(task, name, data)
        answers: dict[str, list[Predictions]] = {}
        chosen = []
        for key, method in METHODS.items():
            made = [quantized(task, draw, model, method) for draw in DRAWS]
            answers[key] = [tested(task, one, RUNTIME)[1] for one in made]
            chosen = [one.quant.rule.observer for one in made if one.quant]
        found = {
            f"{key}.accuracy": metric_over_seeds([metrics(one)["accuracy"] for one in those], DRAWS, "fraction")
            for key, those in answers.items()
        }
        ranked = sorted((one.value for one in Observer), key=lambda key: found[f"{key}.accuracy"]["value"])
        found["chosen_over_best"] = changes("accuracy", answers["chosen"], answers[ranked[-1]])
        found["worst_over_best"] = changes("accuracy", answers[ranked[0]], answers[ranked[-1]])
        figures |= {f"{name}.{data}.{key}": value for key, value in found.items()}
        if (name, data) in ALONE:
            figures |= {f"{name}.{key}": value for key, value in found.items()}
        details[f"{name}.{data}"] = {"best": ranked[-1], "worst": ranked[0], "chosen": chosen}
        print(name, data, {key: round(value["value"], 4) for key, value in found.items()}, flush=True)
    write("observers", "; ".join(DATA_SETS[data] for data in ("cifar", "ham")), started, figures, details)


if __name__ == "__main__":
    main()
