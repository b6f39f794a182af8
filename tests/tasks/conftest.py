from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def shared():
    """A function from a relative path to a file of shared/data; skips where it is absent."""

    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not here (real data, see shared/data/README.md)")
        return path

    return find


@pytest.fixture
def arrays():
    """A small valid MedMNIST layout: 12 / 6 / 6 grey images of 5x4, labels 0 1 0 1 ..., all rows different."""
    random = np.random.default_rng(0)
    made = {}
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        made[f"{split}_images"] = random.integers(0, 256, (count, 5, 4)).astype(np.uint8)
        made[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return made


@pytest.fixture
def write(tmp_path):
    """Write arrays to tmp_path/data.npz and return the path."""

    def to_file(arrays, name="data.npz"):
        path = tmp_path / name
        np.savez(path, **arrays)
        return path

    return to_file
