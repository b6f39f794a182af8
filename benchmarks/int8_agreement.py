"""How often INT8 files decide like their float net, and what was tried: python benchmarks/int8_agreement.py [--only MODEL ...]

    MODEL.METHOD.RUNTIME.agreement    same class as the float torch model, on all validation rows of HAM10000-64
    MODEL.METHOD.noise                root mean square of the simulation's logits minus the float net's
    MODEL.margin_5                    the margin between the two highest logits that 5 % of the rows are below
METHOD is static_int8 (as in runtime_matrix), float_ends (its first and last layer left float) or qat (aware training that
learns the float net's own logits: soft targets at T = 8, no labels). What is asked for is 0.98. A row flips where the noise is
larger than its margin: margin_5 beside noise says how much quieter integers would have to be.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from galenic import methods as gx
from galenic.compress.quantize.simulate import simulated
from galenic.measuring.parity import compare
from galenic.pipeline.file_stages import export_stage
from galenic.pipeline.training_stages import run_phase
from galenic.preprocess.transform import to_inputs
from galenic.record.task import Task
from galenic.record.training import TrainingConfig
from galenic.runtimes.load import open_session
from galenic.stats.proportions import wilson
from galenic.zoo.graph import folded, layers, traced
from galenic.zoo.model import Model
from ham_distillation import COMMON
from lab import setting, teacher, trained
from nets import DATA_SETS, net, task_of
from result import figure, write

MODELS = ("mobilenet_v3_small", "efficientnet_b0")
RUNTIMES = ("onnxruntime", "openvino", "litert", "executorch")
BATCH = 256
AWARE = TrainingConfig(epochs=8, learning_rate=1e-4, precision="float32", **(COMMON | {"memory_format": "contiguous"}))
METHODS = ("static_int8", "float_ends", "qat")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=MODELS, default=[])
    only = parser.parse_args().only
    print("estimate: 40 minutes on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    task = task_of("ham")
    rows = to_inputs(task.preprocessing, task.validation.inputs)
    figures: dict[str, Any] = {}
    for name in only or MODELS:
        model = net(task, name, "ham")
        ours = in_batches(lambda part, model=model: model.module(torch.from_numpy(part)).numpy(), rows)
        highest = np.sort(ours, axis=1)[:, -2:]
        figures[f"{name}.margin_5"] = plain(float(np.quantile(highest[:, 1] - highest[:, 0], 0.05)), len(rows))
        for method in METHODS:
            made = quantized(task, model, method)
            figures |= {f"{name}.{method}.{key}": value for key, value in beside(task, made, ours, rows).items()}
            print(
                name,
                method,
                {k: round(v["value"], 4) for k, v in figures.items() if method in k and name in k},
                flush=True,
            )
    if not only:
        write("int8_agreement", DATA_SETS["ham"], started, figures, {"qat": AWARE.model_dump(mode="json")})


def quantized(task: Task, model: Model, method: str) -> Model:
    """The float net as integers, in one of the three ways."""
    where = setting(task, 0)
    if method == "qat":
        methods = [gx.SoftTarget(temperature=8.0, alpha=1.0), gx.QAT()]
        return trained(where, model, AWARE, methods, [teacher(where, model)])
    names = list(layers(folded(model)[1]))
    keep = (names[0], names[-1]) if method == "float_ends" else ()
    return run_phase(where, [gx.StaticInt8(keep=keep)], model)[-1]


def beside(task: Task, made: Model, ours: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """Each runtime's file, and the simulation, beside the float net."""
    assert made.quant is not None
    graph, points = traced(made), made.quant.points
    rounded = in_batches(lambda part: simulated(graph, points, torch.from_numpy(part)).numpy(), rows)
    found = {"noise": plain(float(np.sqrt(np.mean((rounded - ours) ** 2))), len(rows))}
    for runtime in RUNTIMES:
        session = open_session(export_stage(setting(task, 0), made, runtime))
        same = compare(ours, in_batches(session.run, rows), task.kind).agreement
        share = wilson(round(same * len(rows)), len(rows))
        found[f"{runtime}.agreement"] = figure(
            share.value, "fraction", low=share.low, high=share.high, n=len(rows), seeds=[0]
        )
    return found


@torch.no_grad()
def in_batches(answer: Any, rows: np.ndarray) -> np.ndarray:
    """The answers to all rows, some at a time."""
    return np.concatenate([answer(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)])


def plain(value: float, n: int) -> dict[str, Any]:
    return figure(value, "logits", low=value, high=value, n=n, seeds=[0])


if __name__ == "__main__":
    main()
