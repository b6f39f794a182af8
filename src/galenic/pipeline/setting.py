"""What every stage of one run shares."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from galenic.record.progress import Progress, silent
from galenic.record.task import Task
from galenic.store.ledger import Ledger
from galenic.store.stages import Store

PACKAGES = (
    "galenic", "numpy", "torch", "onnx", "onnxruntime", "monai", "accelerate", "scipy", "scikit-learn", "transformers",
    "openvino", "ai-edge-litert", "ai-edge-quantizer", "litert-torch", "litert-converter", "executorch", "torchao",
    "coremltools",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One run's task, store, seed, threads and progress sink."""

    task: Task
    store: Store
    seed: int = 0
    threads: int = 2
    progress: Progress = silent

    @property
    def ledger(self) -> Ledger:
        """The store's ledger of test-set reads."""
        return Ledger(self.store.root / "ledger.jsonl")

    @property
    def answers(self) -> Path:
        """Where teachers' cached answers lie: shared by all stages, each file named by what it depends on."""
        return self.store.root / "answers"


def default_store() -> Store:
    """``GALENIC_STORE``, or ``runs`` in the working folder."""
    return Store(Path(os.environ.get("GALENIC_STORE", "runs")))


@cache
def installed_versions() -> dict[str, str]:
    """Package -> version, for those that decide what a run finds."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
