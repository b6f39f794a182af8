"""galenic: makes a trusted medical model small and fast, and proves it on the shipped file in its real runtime.

The verbs and nouns below are the public face. They are imported when first used, so that a device that only runs a
file never imports torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galenic import methods as methods
    from galenic.pipeline.verbs import build as build
    from galenic.pipeline.verbs import distill as distill
    from galenic.pipeline.verbs import export as export
    from galenic.pipeline.verbs import gate as gate
    from galenic.pipeline.verbs import load_task as load_task
    from galenic.pipeline.verbs import measure as measure
    from galenic.pipeline.verbs import predict as predict
    from galenic.pipeline.verbs import prune as prune
    from galenic.pipeline.verbs import quantize as quantize
    from galenic.pipeline.verbs import sparsify as sparsify
    from galenic.pipeline.verbs import train as train
    from galenic.record.artifact import Artifact as Artifact
    from galenic.record.gate import Floors as Floors
    from galenic.record.gate import Margins as Margins
    from galenic.record.gate import Verdict as Verdict
    from galenic.record.predictions import Predictions as Predictions
    from galenic.record.recipe import Recipe as Recipe
    from galenic.record.task import Task as Task
    from galenic.record.training import TrainingConfig as TrainingConfig

__version__ = "0.1.0"

# ONNX Runtime reads it when it is first imported, wherever that is: without it, it keeps an id of this machine in the
# home folder and reports every model that it loads to Microsoft.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_VERBS = (
    "build",
    "distill",
    "export",
    "gate",
    "load_task",
    "measure",
    "predict",
    "prune",
    "quantize",
    "sparsify",
    "train",
)
_NOUNS = {
    "Artifact": "artifact",
    "Floors": "gate",
    "Margins": "gate",
    "Predictions": "predictions",
    "Recipe": "recipe",
    "Task": "task",
    "TrainingConfig": "training",
    "Verdict": "gate",
}

__all__ = [*_NOUNS, *_VERBS, "__version__", "methods"]


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return getattr(importlib.import_module("galenic.pipeline.verbs"), name)
    if name in _NOUNS:
        return getattr(importlib.import_module(f"galenic.record.{_NOUNS[name]}"), name)
    if name == "methods":
        return importlib.import_module("galenic.methods")
    raise AttributeError(f"module 'galenic' has no attribute {name!r}; it has {', '.join(sorted(__all__))}")


def __dir__() -> list[str]:
    return sorted(__all__)
