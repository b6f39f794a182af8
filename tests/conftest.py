"""What every test may need: a tiny image task that is made in memory, and torch on one thread."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.task import Split, SplitName, Task, TaskKind

SHARED_DATA = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_task(rows: int = 48, side: int = 12, classes: int = 2, kind: TaskKind = TaskKind.SINGLE_LABEL) -> Task:
    """Grey images whose left half is brighter in class 1; enough to learn from in a few steps."""
    rng = np.random.default_rng(0)
    splits = {}
    for name in SplitName:
        labels = np.arange(rows) % classes
        images = rng.integers(60, 120, (rows, side, side, 1))
        images[:, :, : side // 2] += (labels * 60 // (classes - 1))[:, None, None, None]
        if kind is TaskKind.MULTI_LABEL:
            labels = np.eye(classes, dtype=np.uint8)[labels]
        ids = np.array([f"{name.value}-{row}" for row in range(rows)])
        splits[name] = Split(images.astype(np.uint8), labels, ids)
    preprocessing = Preprocessing(
        modality=Modality.IMAGE, raw_shape=(side, side, 1), scale=1 / 255, mean=(0.4,), std=(0.2,)
    )
    names = tuple(f"class {index}" for index in range(classes))
    return Task("halves", kind, names, (1,), splits, preprocessing, "made in a test", synthetic=True)


@pytest.fixture(scope="session")
def task() -> Task:
    return make_task()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, really mounted; needs root, as in CI."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
