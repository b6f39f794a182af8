"""Four-bit weights with 8-bit activations: python benchmarks/int4.py [--only MODEL ...]

    MODEL.rtn|adaround|qat.accuracy_change    W4A8 minus float on HAM10000-64's test set, both LiteRT files, paired; 3 seeds
    MODEL.METHOD.auc_change                   the same for the macro AUC
    MODEL.qat_over_rtn                        accuracy of aware training minus that of rounding to the nearest, paired
    MODEL.size_ratio                          bytes of the aware-trained .tflite file / bytes of the float one
LiteRT is the runtime that keeps four bits in four bits. The first and the last layer have 8. ``rtn`` has the same ranges and scales
as ``adaround``; seeds are draws of calibration rows, and of the training for ``qat``, which also learns from the float net.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from galenic import methods as gx
from galenic.compress.quantize.int4 import Rounding
from galenic.gating.metrics import metrics
from galenic.record.predictions import Predictions
from galenic.record.task import Task
from galenic.record.training import TrainingConfig
from galenic.zoo.model import Model
from ham_distillation import COMMON
from lab import declare_comparison, setting, teacher, trained
from nets import DATA_SETS, DRAWS, changes, drawn, net, quantized, task_of, tested
from result import figure, write

RUNTIME = "litert"
NETS = {
    "resnet18": TrainingConfig(epochs=5, learning_rate=1e-4, **COMMON),
    "mobilenet_v3_small": TrainingConfig(epochs=12, learning_rate=5e-4, **COMMON),
}
AFTER = {
    "rtn": gx.StaticW4A8(rounding=Rounding.NEAREST),
    "adaround": gx.StaticW4A8(),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=list(NETS), default=[])
    only = parser.parse_args().only
    print("estimate: 100 minutes on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    task = task_of("ham")
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name in only or NETS:
        model = net(task, name, "ham")
        plain, before = tested(task, model, RUNTIME)
        answers = dict[str, list[Predictions]]()
        size = 0
        for key in (*AFTER, "qat"):
            made = [w4a8(task, draw, model, key, NETS[name]) for draw in DRAWS]
            files = [tested(task, one, RUNTIME) for one in made]
            answers[key] = [found for _, found in files]
            size = files[0][0].size_bytes
            same = [before] * len(files)
            figures[f"{name}.{key}.accuracy_change"] = changes("accuracy", answers[key], same)
            figures[f"{name}.{key}.auc_change"] = changes("auc", answers[key], same)
            print(name, key, figures[f"{name}.{key}.accuracy_change"], flush=True)
        figures[f"{name}.qat_over_rtn"] = changes("accuracy", answers["qat"], answers["rtn"])
        ratio = size / plain.size_bytes
        figures[f"{name}.size_ratio"] = figure(ratio, "bytes / float bytes", low=ratio, high=ratio, n=1, seeds=[0])
        details[name] = {"float_accuracy": metrics(before)["accuracy"].value, "bytes": [plain.size_bytes, size]}
    if only:
        return
    declare_comparison(task, f"HAM10000-64: W4A8 of {', '.join(NETS)}: nearest, AdaRound, aware training")
    details["training"] = {name: config.model_dump(mode="json") for name, config in NETS.items()}
    write("int4", DATA_SETS["ham"], started, figures, details)


def w4a8(task: Task, draw: int, model: Model, key: str, training: TrainingConfig) -> Model:
    """One of the three, with this draw of calibration rows; aware training with this seed."""
    if key in AFTER:
        return quantized(task, draw, model, AFTER[key])
    methods = [gx.SoftTarget(temperature=2.0, alpha=0.7), gx.QAT(weight_bits=4)]
    taught = teacher(setting(task, 0), model)
    return trained(setting(drawn(task, draw), draw), model, training, methods, [taught])


if __name__ == "__main__":
    main()
