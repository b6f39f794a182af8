"""What calibration takes: python benchmarks/calibration.py

    seconds_per_row.NET         of a ResNet-8, -20 and -56 on 3 x 32 x 32, the smallest and the largest of the numbers of rows
    exponent.rows               d log(seconds) / d log(rows) of a ResNet-20: 1 is linear
    exponent.layers             d log(seconds) / d log(layers) over the three nets at 1,024 rows: 1 is no faster than the layers
    memory_mb.ROWS              by how much the process's peak memory grew; it should not grow with the rows
Drawn weights and rows: what is computed does not depend on the numbers. Each measurement is a process of its own, one thread. Run
it alone on the machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

from result import figure, spread_over_seeds, write

NETS = {"resnet8": 10, "resnet20": 22, "resnet56": 58}
"""With their convolutions and dense layers."""
BLOCKS = {"resnet8": 1, "resnet20": 3, "resnet56": 9}
ROWS, REPEATS, SHAPE = (256, 512, 1024, 2048, 4096), 3, (3, 32, 32)


def main() -> None:
    if sys.argv[1:]:
        print(*one(sys.argv[1], int(sys.argv[2])))
        return
    print("estimate: 6 minutes, alone on the machine", flush=True)
    started = time.monotonic()
    found = {("resnet20", rows): [asked("resnet20", rows) for _ in range(REPEATS)] for rows in ROWS}
    for name in NETS:
        found.setdefault((name, 1024), [asked(name, 1024) for _ in range(REPEATS)])
    seconds = {key: [taken for taken, _ in those] for key, those in found.items()}
    figures: dict[str, Any] = {}
    for name in NETS:
        those = [value / rows for (net, rows), values in seconds.items() if net == name for value in values]
        figures[f"seconds_per_row.{name}"] = spread_over_seeds(those, [0], "s", n=len(those))
    by_rows = [(rows, value) for (net, rows), values in seconds.items() if net == "resnet20" for value in values]
    by_layers = [(NETS[net], value) for (net, rows), values in seconds.items() if rows == 1024 for value in values]
    figures["exponent.rows"], figures["exponent.layers"] = exponent(by_rows), exponent(by_layers)
    for rows in ROWS:
        grown = [memory for _, memory in found["resnet20", rows]]
        figures[f"memory_mb.{rows}"] = spread_over_seeds(grown, [0], "MB", n=REPEATS)
    write("calibration", "none: drawn rows and weights", started, figures)


def asked(name: str, rows: int) -> tuple[float, float]:
    """Seconds and megabytes of one calibration in a process of its own."""
    command = [sys.executable, __file__, name, str(rows)]
    seconds, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    print(name, rows, seconds, memory, flush=True)
    return float(seconds), float(memory)


def one(name: str, rows: int) -> tuple[float, float]:
    """The calibration itself, and what it added to the process's peak memory."""
    import torch

    from galenic.compress.quantize.calibrate import calibrate, in_batches
    from galenic.record.model import ModelSpec
    from galenic.zoo.graph import folded
    from galenic.zoo.model import Model
    from galenic.zoo.resnet_cifar import resnet_cifar

    torch.set_num_threads(1)
    spec = ModelSpec(architecture=name, input_shape=SHAPE, outputs=10)
    _, graph = folded(Model(resnet_cifar(BLOCKS[name], SHAPE, 10).eval(), spec, (name,)))
    inputs = np.random.default_rng(0).normal(size=(rows, *SHAPE)).astype(np.float32)
    calibrate(graph, in_batches(inputs[:64]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    calibrate(graph, in_batches(inputs))
    taken = time.perf_counter() - start
    return taken, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def exponent(points: list[tuple[int, float]]) -> dict[str, Any]:
    """The slope of a straight line through the logarithms, with its 95 % interval."""
    x, y = np.log([x for x, _ in points]), np.log([y for _, y in points])
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    error = 1.96 * float(np.sqrt(covariance[0, 0]))
    return figure(
        float(slope), "exponent", low=float(slope) - error, high=float(slope) + error, n=len(points), seeds=[0]
    )


if __name__ == "__main__":
    main()
