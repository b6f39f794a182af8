"""What calibration takes: python benchmarks/calibration.py

    seconds_per_row.LAYERS    of a stack of so many equal convolutions with ReLU, 8 channels of 16 x 16, over all numbers of rows
    exponent.rows             d log(seconds) / d log(rows) at 16 layers: 1 is linear
    exponent.layers           d log(seconds) / d log(layers) at 1,024 rows: 1 is no faster than the layers
    memory_mb.ROWS            by how much the process's peak memory grew; it should not grow with the rows
Drawn weights and rows: what is computed does not depend on the numbers. Each measurement is a process of its own, one thread, all
of them in turn. Run it alone on the machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np

from result import figure, spread_over_seeds, write

LAYERS, ROWS, REPEATS = (8, 16, 32, 64), (256, 512, 1024, 2048, 4096), 5
CHANNELS, SHAPE = 8, (3, 16, 16)
POINTS = list(dict.fromkeys([(16, rows) for rows in ROWS] + [(layers, 1024) for layers in LAYERS]))


def main() -> None:
    if sys.argv[1:]:
        print(*one(int(sys.argv[1]), int(sys.argv[2])))
        return
    print("estimate: 5 minutes, alone on the machine", flush=True)
    started = time.monotonic()
    found = [(layers, rows, *asked(layers, rows)) for _ in range(REPEATS) for layers, rows in POINTS]
    figures: dict[str, Any] = {}
    for layers in LAYERS:
        each = [seconds / rows for depth, rows, seconds, _ in found if depth == layers]
        figures[f"seconds_per_row.{layers}"] = spread_over_seeds(each, [0], "s", n=len(each))
    figures["exponent.rows"] = exponent([(rows, seconds) for depth, rows, seconds, _ in found if depth == 16])
    figures["exponent.layers"] = exponent([(depth, seconds) for depth, rows, seconds, _ in found if rows == 1024])
    for rows in ROWS:
        grown = [memory for depth, those, _, memory in found if (depth, those) == (16, rows)]
        figures[f"memory_mb.{rows}"] = spread_over_seeds(grown, [0], "MB", n=REPEATS)
    write("calibration", "none: drawn rows and weights", started, figures)


def asked(layers: int, rows: int) -> tuple[float, float]:
    """Seconds and megabytes of one calibration in a process of its own."""
    command = [sys.executable, __file__, str(layers), str(rows)]
    seconds, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    print(layers, rows, seconds, memory, flush=True)
    return float(seconds), float(memory)


def one(layers: int, rows: int) -> tuple[float, float]:
    """The calibration itself, and what it added to the process's peak memory."""
    import torch
    from torch import nn

    from galenic.compress.quantize.calibrate import calibrate, in_batches
    from galenic.record.model import ModelSpec
    from galenic.zoo.graph import folded
    from galenic.zoo.model import Model

    torch.set_num_threads(1)
    ways = [SHAPE[0], *[CHANNELS] * layers]
    stack = [part for a, b in pairwise(ways) for part in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]
    net = nn.Sequential(*stack, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    spec = ModelSpec(architecture="stack", input_shape=SHAPE, outputs=CHANNELS)
    _, graph = folded(Model(net.eval(), spec, ("stack",)))
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
