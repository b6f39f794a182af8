"""Data files for the pipeline's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def overlapping_npz(tmp_path: Path) -> Path:
    """A MedMNIST file whose first test image is also in train."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for name, rows in {"train": 40, "val": 20, "test": 20}.items():
        arrays[f"{name}_images"] = rng.integers(0, 255, (rows, 12, 12), dtype=np.uint8)
        arrays[f"{name}_labels"] = (np.arange(rows) % 2).astype(np.uint8)[:, None]
    arrays["test_images"][0] = arrays["train_images"][3]
    path = tmp_path / "data" / "overlap.npz"
    path.parent.mkdir()
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return path
