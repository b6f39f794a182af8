"""Mixed precision beside one precision for all layers, at the same size: python benchmarks/mixed_precision.py

    SIZE.uniform.accuracy, SIZE.mixed.accuracy    of the INT8 file in ONNX Runtime on CIFAR-10's test set, ResNet-20, 3 draws
    SIZE.gain                                     mixed minus uniform, paired by case
SIZE is w3, w4 or w5: the bytes that all weights take with so many bits each (every layer, rounded to the nearest, with the scales
of least error, 8-bit activations). The mixed one may spend the same bytes on layers of 2 to 8 bits by their measured sensitivity.
"""

from __future__ import annotations

import time
from typing import Any

from galenic import methods as gx
from galenic.compress.quantize.costs import weight_bytes
from galenic.compress.quantize.int4 import Rounding
from galenic.gating.metrics import metrics
from galenic.zoo.graph import folded
from lab import RUNTIME, declare_comparison
from nets import DATA_SETS, DRAWS, changes, net, quantized, task_of, tested
from result import metric_over_seeds, write

NET, DATA, UNIFORM = "resnet20", "cifar", (3, 4, 5)
ALLOWED = (8, 7, 6, 5, 4, 3, 2)


def main() -> None:
    print("estimate: 30 minutes on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    task = task_of(DATA)
    declare_comparison(task, "CIFAR-10: mixed and uniform precision of a ResNet-20 at three sizes")
    model = net(task, NET, DATA)
    _, graph = folded(model)
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for bits in UNIFORM:
        uniform = gx.StaticW4A8(bits=bits, end_bits=0, rounding=Rounding.NEAREST)
        size = sum(weight_bytes(graph, uniform.rule).values())
        mixed = gx.MixedPrecision(budget=gx.Budget(size_bytes=size), weight_bits=ALLOWED)
        answers = {}
        for key, method in (("uniform", uniform), ("mixed", mixed)):
            made = [quantized(task, draw, model, method) for draw in DRAWS]
            answers[key] = [tested(task, one, RUNTIME)[1] for one in made]
            found = metric_over_seeds([metrics(one)["accuracy"] for one in answers[key]], DRAWS, "fraction")
            figures[f"w{bits}.{key}.accuracy"] = found
            details[f"w{bits}.{key}"] = {
                "bytes": [sum(weight_bytes(graph, one.quant.rule).values()) for one in made if one.quant],
                "layers": [
                    {rule.layer: rule.weight_bits for rule in one.quant.rule.layers} for one in made if one.quant
                ],
            }
        figures[f"w{bits}.gain"] = changes("accuracy", answers["mixed"], answers["uniform"])
        print(bits, size, figures[f"w{bits}.gain"], flush=True)
    write("mixed_precision", DATA_SETS[DATA], started, figures, details)


if __name__ == "__main__":
    main()
