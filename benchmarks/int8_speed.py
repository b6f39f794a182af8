"""ResNet-18 at 224 px, INT8 against its own float file, one thread: python benchmarks/int8_speed.py

    resnet18_224.RUNTIME.speedup    float latency / INT8 latency in the same runtime, whole answers, batch 1, timed in turn
The weights are drawn, which changes no time: what is computed does not depend on the numbers. Run it alone on the machine.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.static import Choices, Rows, quantize_static
from galenic.exporters.load import exporter_for
from galenic.measuring.duel import duel
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.quant import Observer, QuantRule
from galenic.runtimes.load import open_session
from galenic.zoo.build import build
from result import figure, write

RUNTIMES = ("onnxruntime", "openvino", "litert", "executorch")
SIDE, CLASSES, ROWS = 224, ("ill", "well"), 8


def main() -> None:
    print("estimate: 4 minutes", flush=True)
    started = time.monotonic()
    shape = (3, SIDE, SIDE)
    model = build("resnet18", shape, len(CLASSES))
    raw = np.random.default_rng(0).integers(0, 256, (ROWS, SIDE, SIDE, 3)).astype(np.uint8)
    preprocessing = Preprocessing(
        modality=Modality.IMAGE, raw_shape=raw.shape[1:], scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    rows = ((raw / 255 - 0.5) / 0.25).transpose(0, 3, 1, 2).astype(np.float32)
    data = Rows(in_batches(rows), in_batches(rows))
    integers = quantize_static(
        model, QuantRule(), data, Choices(Observer.MIN_MAX, correct_bias=False, equalise=False, tune_ranges=False)
    )
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        for runtime in RUNTIMES:
            exporter = exporter_for(runtime)
            files = [
                exporter.export(
                    one,
                    Path(folder) / f"{runtime}-{name}{exporter.suffix}",
                    preprocessing=preprocessing,
                    classes=CLASSES,
                )
                for name, one in (("float", model), ("int8", integers))
            ]
            plain, quantized = (open_session(file, threads=1) for file in files)
            found = duel(plain, quantized, raw)
            figures[f"resnet18_224.{runtime}.speedup"] = figure(
                found.value, "float ms / INT8 ms, one thread", low=found.low, high=found.high, n=found.rounds, seeds=[0]
            )
            ops = files[1].integer_ops
            details[runtime] = {
                "bytes": [file.size_bytes for file in files],
                "integer_layers": ops.integer if ops else 0,
                "float_layers": ops.left_float if ops else (),
            }
            print(runtime, found, flush=True)
    write("int8_speed", "none: drawn pixels and weights", started, figures, details)


if __name__ == "__main__":
    main()
