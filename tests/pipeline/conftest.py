"""Data files for the pipeline's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def medmnist_file(path: Path, side: int, classes: int) -> dict[str, np.ndarray]:
    """Arrays in the MedMNIST layout; the folder they go to is made."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for name, rows in {"train": 40, "val": 20, "test": 20}.items():
        arrays[f"{name}_images"] = rng.integers(0, 255, (rows, side, side), dtype=np.uint8)
        arrays[f"{name}_labels"] = (np.arange(rows) % classes).astype(np.uint8)[:, None]
    path.parent.mkdir(exist_ok=True)
    return arrays


def written(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture
def overlapping_npz(tmp_path: Path) -> Path:
    """A MedMNIST file whose first test image is also in train."""
    path = tmp_path / "data" / "overlap.npz"
    arrays = medmnist_file(path, 12, 2)
    arrays["test_images"][0] = arrays["train_images"][3]
    return written(path, arrays)


@pytest.fixture
def three_classes_npz(tmp_path: Path) -> Path:
    """A MedMNIST file of 8 x 8 images, as the digits are, with three classes."""
    path = tmp_path / "data" / "three.npz"
    return written(path, medmnist_file(path, 8, 3))
