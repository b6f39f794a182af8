"""Stand-ins for what npm fetches, and what a page says about its model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from galenic.record.preprocessing import Modality, Picture, Preprocessing
from galenic.record.web import PageModel
from web_packages import fill_packages

SPEC = Preprocessing(
    modality=Modality.IMAGE, raw_shape=(8, 8, 3), scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3, picture=Picture()
)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    return fill_packages(tmp_path / "packages")


@pytest.fixture
def page() -> Callable[..., PageModel]:
    def made(**changes: Any) -> PageModel:
        values = {
            "name": "lesions",
            "task": "drawn",
            "synthetic": False,
            "kind": "single-label",
            "runtime": "litert",
            "runtime_version": "1.2.3",
            "file": "model/model.tflite",
            "sha256": "ab" * 32,
            "size_bytes": 1_234_567,
            "precision": "float32",
            "lineage": ("resnet8", "supervised"),
            "classes": ("ill", "well"),
            "preprocessing": SPEC,
            "picture": SPEC.of_pictures(),
        }
        return PageModel(**values | changes)

    return made
