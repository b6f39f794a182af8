"""Three MedMNIST sets, 3 seeds each, from a ResNet-18 to a gated INT8 student: python benchmarks/medmnist.py [SET ...]

The recipes are benchmarks/recipes/SET.toml. Every figure is of the INT8 file in ONNX Runtime on the test set, read by the
gate. Anchors: MedMNIST v2's ResNet-18 at 28 px, AUC / ACC .944/.854 (pneumonia), .901/.863 (breast), .717/.524 (retina).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from galenic.cli.screen import Bars
from galenic.pipeline.recipes import load_recipe
from galenic.pipeline.run import compress
from galenic.record.report import Report
from galenic.store.stages import Store
from result import chosen, metric_over_seeds, spread_over_seeds, write

SEEDS = (0, 1, 2)
SETS = {
    "pneumoniamnist": "PneumoniaMNIST, rebuilt (pneumoniamnist)",
    "breastmnist": "BreastMNIST, official (breastmnist)",
    "retinamnist": "RetinaMNIST, official (retinamnist)",
}
ESTIMATE_MINUTES = {"pneumoniamnist": 35, "breastmnist": 15, "retinamnist": 15}


def main() -> None:
    names = sys.argv[1:] or list(SETS)
    print(f"estimate: {sum(ESTIMATE_MINUTES[name] for name in names)} minutes on 2 cores, less what is in runs/")
    started = time.monotonic()
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name in SETS:
        if name not in names:
            continue
        reports = [run(name, seed) for seed in SEEDS]
        files = [chosen(report) for report in reports]
        figures[f"{name}.auc"] = metric_over_seeds([f.metrics["auc"] for f in files], SEEDS, "AUC")
        figures[f"{name}.accuracy"] = metric_over_seeds([f.metrics["accuracy"] for f in files], SEEDS, "fraction")
        figures[f"{name}.size_bytes"] = spread_over_seeds([f.size_bytes for f in files], SEEDS, "bytes")
        details[name] = [describe(report) for report in reports]
    write("medmnist", "; ".join(SETS[name] for name in names), started, figures, details)


def run(name: str, seed: int) -> Report:
    recipe = load_recipe(Path(__file__).parent / "recipes" / f"{name}.toml").model_copy(update={"seed": seed})
    with Bars() as progress:
        return compress(recipe, Store(Path("runs")), progress).report


def describe(report: Report) -> dict[str, Any]:
    return {
        "seed": report.run.seed,
        "verdict": report.gate.verdict.value,
        "reference_auc": report.reference.metrics["auc"].value,
        "reference_accuracy": report.reference.metrics["accuracy"].value,
        "reference_size_bytes": report.reference.size_bytes,
        "comparison": report.comparison.sentence if report.comparison else None,
        "overlap_dropped": report.task.overlap.dropped,
        "recipe_hash": report.recipe.digest(),
    }


if __name__ == "__main__":
    main()
