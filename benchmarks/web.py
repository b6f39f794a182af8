"""MobileNetV3-small at 224 px in a browser, one thread: python benchmarks/web.py [--tiny]

    RUNTIME.p50_ms              median inference in Chromium of the float32 file, both in turn; low and high over repetitions
    RUNTIME.max_difference      the largest difference of a logit from the same runtime's in Python, on the same inputs
    RUNTIME.int8.p50_ms, ...    the same for the INT8 file (float input and output)
Weights are drawn, which changes no time; batch norm's statistics are those of the pictures, and the last layer is enlarged until
the logits spread by 3, as those of a trained net do. ``picture_difference`` in the details is in grey levels: the page's own
resizing beside Pillow's. Run it alone on the machine; ``--tiny`` only shows that it works, and writes nothing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.static import Choices, Rows, quantize_static
from galenic.exporters.load import exporter_for
from galenic.pipeline.web import drawn_pictures
from galenic.pipeline.web_cache import web_cache
from galenic.preprocess.transform import to_inputs
from galenic.publish.web.packages import require_packages, versions
from galenic.publish.web.runtimes import WEB_RUNTIMES, web_runtime
from galenic.publish.web.timing import Candidate, Timed, time_candidates
from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Modality, Picture, Preprocessing
from galenic.record.quant import Observer, QuantRule
from galenic.record.task import SplitName
from galenic.record.web import PageModel
from galenic.runtimes.load import open_session
from galenic.runtimes.place import machine_name
from galenic.tasks.lesions import draw_split
from galenic.zoo.build import build
from galenic.zoo.model import Model
from result import figure, write

TINY = "--tiny" in sys.argv
SIDE, ROWS, REPEATS, RUNS = (32, 4, 1, 20) if TINY else (224, 16, 5, 100)
BATCHES, SPREAD = 40, 3.0
CLASSES = tuple(f"class {number}" for number in range(7))
SPEC = Preprocessing(
    modality=Modality.IMAGE,
    raw_shape=(SIDE, SIDE, 3),
    scale=1 / 255,
    mean=(0.6, 0.45, 0.4),
    std=(0.2, 0.2, 0.2),
    picture=Picture(),
)


def models(inputs: np.ndarray) -> dict[str, Model]:
    """The net, and the same on integers."""
    model = build("mobilenet_v3_small", SPEC.input_shape, len(CLASSES))
    rows = torch.from_numpy(inputs)
    with torch.no_grad():
        model.module.train()
        for _ in range(BATCHES):
            model.module(rows)
        model.module.eval()
        last = [part for part in model.module.modules() if isinstance(part, torch.nn.Linear)][-1]
        last.weight.mul_(SPREAD / model.module(rows).std(dim=0).mean())
    choices = Choices(Observer.MIN_MAX, correct_bias=False, equalise=False, tune_ranges=False)
    return {
        "float32": model,
        "int8": quantize_static(model, QuantRule(), Rows(in_batches(inputs), in_batches(inputs)), choices),
    }


def page(artifact: Artifact) -> PageModel:
    """As much as the timing needs."""
    return PageModel(
        name="web",
        task="drawn",
        synthetic=True,
        kind="single-label",
        runtime=artifact.runtime,
        runtime_version=versions(PACKAGES, web_runtime(artifact.runtime))[web_runtime(artifact.runtime).package],
        file=f"model/model{artifact.path.suffix}",
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        precision=artifact.precision,
        lineage=artifact.lineage,
        classes=artifact.classes,
        preprocessing=SPEC,
        picture=SPEC.of_pictures(),
    )


PACKAGES = require_packages(web_cache())


def repeated(candidates: list[Candidate], inputs: np.ndarray) -> list[Timed]:
    """A fresh browser for each repetition."""
    found = []
    for number in range(REPEATS):
        with TemporaryDirectory() as folder:
            pictures = drawn_pictures(SPEC)
            found.append(
                time_candidates(candidates, inputs, pictures, PACKAGES, Path(folder), machine_name(), runs=RUNS)
            )
        assert not found[-1].failed, found[-1].failed
        print(number + 1, *(f"{one.runtime} {one.p50_ms:.3f} ms" for one in found[-1].timings), flush=True)
    return found


def main() -> None:
    print("estimate: 4 minutes" if not TINY else "estimate: 2 minutes", flush=True)
    started = time.monotonic()
    inputs = to_inputs(SPEC, draw_split(SplitName.VALIDATION, ROWS, SIDE, 0).inputs)
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {"packages": {one.name: versions(PACKAGES, one) for one in WEB_RUNTIMES}}
    with TemporaryDirectory() as folder:
        for precision, model in models(inputs).items():
            artifacts = [
                exporter_for(one.name).export(
                    model,
                    Path(folder) / f"{one.name}-{precision}{exporter_for(one.name).suffix}",
                    preprocessing=SPEC,
                    classes=CLASSES,
                )
                for one in WEB_RUNTIMES
            ]
            candidates = [Candidate(page(one), one.path, open_session(one).run(inputs)) for one in artifacts]
            found = repeated(candidates, inputs)
            details[precision] = {
                "bytes": {one.runtime: one.size_bytes for one in artifacts},
                "picture_difference": max(one.picture_difference for one in found),
                "largest_logit": {one.page.runtime: float(np.abs(one.logits).max()) for one in candidates},
                "agreement": {one.runtime: one.agreement for one in found[0].timings},
                "load_ms": {one.runtime: one.load_ms for one in found[0].timings},
                "where": found[0].timings[0].where,
            }
            for place, artifact in enumerate(artifacts):
                timings = [one.timings[place] for one in found]
                name = artifact.runtime if precision == "float32" else f"{artifact.runtime}.{precision}"
                p50, difference = [one.p50_ms for one in timings], [one.max_difference for one in timings]
                figures[f"{name}.p50_ms"] = figure(
                    float(np.median(p50)), "ms", low=min(p50), high=max(p50), n=RUNS, seeds=list(range(REPEATS))
                )
                figures[f"{name}.max_difference"] = figure(
                    max(difference), "logits", low=min(difference), high=max(difference), n=ROWS, seeds=[0]
                )
    if TINY:
        print(figures, details)
    else:
        write("web", "none: drawn pictures and weights", started, figures, details)


if __name__ == "__main__":
    main()
