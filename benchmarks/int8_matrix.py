"""INT8 in every runtime against the float file in the same runtime: python benchmarks/int8_matrix.py [--only MODEL.DATA ...]

    MODEL.DATA.RUNTIME.accuracy_change, .auc_change    INT8 minus float on the test set, paired by case; 3 draws of calibration rows
    MODEL.DATA.RUNTIME.agreement                       with the simulation, top-1 on 256 validation rows of each draw
    MODEL.DATA.RUNTIME.speedup                         float ms / INT8 ms, whole answers, batch 1, one thread, timed in turn
    mean.RUNTIME.accuracy_change                       over the nets of HAM10000-64 and PneumoniaMNIST
static_int8 with nothing set: observer, bias correction and equalisation are chosen on validation, once for all runtimes. Every
number is of the file in its runtime. ``--only`` makes the files and their answers and reports nothing; the run without it also
times them and must be alone on the machine.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from galenic import methods as gx
from galenic.gating.metrics import metrics
from galenic.pipeline.file_stages import duel_stage, parity_of
from galenic.record.predictions import Predictions
from galenic.record.recipe import MeasureRecipe
from galenic.stats.proportions import wilson
from galenic.zoo.model import Model
from lab import declare_comparison, setting
from nets import CELLS, DATA_SETS, DRAWS, changes, mean_of, net, quantized, task_of, tested
from result import figure, write

RUNTIMES = ("onnxruntime", "openvino", "litert", "executorch")
NAMES = [f"{name}.{data}" for name, data in CELLS]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[])
    only = parser.parse_args().only
    print("estimate: 150 minutes on one core, and 15 alone for the timing, less what is in runs/", flush=True)
    started = time.monotonic()
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    tasks = {data: task_of(data) for data in DATA_SETS}
    for name, data in CELLS:
        if only and f"{name}.{data}" not in only:
            continue
        task = tasks[data]
        model = net(task, name, data)
        made = [quantized(task, draw, model, gx.StaticInt8()) for draw in DRAWS]
        details[f"{name}.{data}"] = {"chosen": [list(one.quant.measured.items()) for one in made if one.quant]}
        for runtime in RUNTIMES:
            cell, more = measured(task, model, made, runtime, timed=not only)
            figures |= {f"{name}.{data}.{runtime}.{key}": value for key, value in cell.items()}
            details[f"{name}.{data}"][runtime] = more
            print(name, data, runtime, {key: round(value["value"], 4) for key, value in cell.items()}, flush=True)
    if only:
        return
    for runtime in RUNTIMES:
        cells = [figures[f"{name}.{data}.{runtime}.accuracy_change"] for name, data in CELLS if data != "cifar"]
        figures[f"mean.{runtime}.accuracy_change"] = mean_of(cells)
    for data, task in tasks.items():
        declare_comparison(task, f"{data}: INT8 and float files of {', '.join(n for n, d in CELLS if d == data)}")
    write("int8_matrix", "; ".join(DATA_SETS.values()), started, figures, details)


def measured(task: Any, model: Model, made: list[Model], runtime: str, timed: bool) -> tuple[dict[str, Any], Any]:
    """One cell of the table, and its details."""
    where = setting(task, 0)
    plain, before = tested(task, model, runtime)
    files, answers = zip(*(tested(task, one, runtime) for one in made), strict=True)
    same: list[Predictions] = [before] * len(made)
    parities = [parity_of(where, *pair) for pair in zip(made, files, strict=True)]
    agreed, rows = sum(round(one.agreement * one.n) for one in parities), sum(one.n for one in parities)
    share = wilson(agreed, rows)
    cell = {
        "accuracy_change": changes("accuracy", answers, same),
        "auc_change": changes("auc", answers, same),
        "agreement": figure(share.value, "fraction", low=share.low, high=share.high, n=rows, seeds=DRAWS),
    }
    if timed:
        speed = duel_stage(where, plain, files[0], MeasureRecipe(threads=1))
        assert speed is not None, f"{runtime} here only stands for a device's"
        cell["speedup"] = figure(speed.value, "ratio", low=speed.low, high=speed.high, n=speed.rounds, seeds=[0])
    ops = [one.integer_ops for one in files if one.integer_ops]
    return cell, {
        "float_accuracy": metrics(before)["accuracy"].value,
        "bytes": [plain.size_bytes, files[0].size_bytes],
        "integer_layers": [one.integer for one in ops],
        "float_layers": [list(one.left_float) for one in ops],
        "largest_difference": [one.max_difference for one in parities],
    }


if __name__ == "__main__":
    main()
