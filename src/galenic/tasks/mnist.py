"""``mnist``: handwritten digits (LeCun, Cortes, Burges), 60,000 / 10,000 at 28x28.

The file is Keras's mnist.npz with x_train, y_train, x_test, y_test. Validation rows are taken out of the training rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from galenic.record.preprocessing import Modality
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.checks import Npz, check_rows
from galenic.tasks.fetch import cache_folder, fetch
from galenic.tasks.labels import read_labels
from galenic.tasks.npz import image_scale, read_images
from galenic.tasks.overlap import row_keys
from galenic.tasks.source import RawTask, Source, SourceOptions
from galenic.tasks.split import hold_out

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


class MnistOptions(SourceOptions):
    """What ``mnist`` takes."""

    path: Path | None = Field(default=None, description="a local mnist.npz, instead of the download")
    cache: Path | None = Field(default=None, description="folder of downloads (GALENIC_DATA, else ~/.cache/galenic)")
    validation: int = Field(default=5000, ge=1, description="about how many rows of train become validation")


def load_mnist(_: str, options: MnistOptions) -> RawTask:
    """Read the file, downloaded where no ``path`` is given."""
    path = options.path or fetch(URL, f"sha256:{SHA256}", "mnist.npz", cache_folder(options.cache))
    file = Npz(path)
    file.require(["x_train", "y_train", "x_test", "y_test"], "x_train, y_train, x_test, y_test of Keras's mnist.npz")
    whole = _read(file, "train", SplitName.TRAIN)
    test = _read(file, "test", SplitName.TEST)
    train, validation = hold_out(whole, row_keys(whole.inputs), options.validation, options.seed)
    return RawTask(
        name="MNIST",
        where=str(path),
        kind=TaskKind.SINGLE_LABEL,
        classes=tuple(str(digit) for digit in range(10)),
        positive=(),
        splits={SplitName.TRAIN: train, SplitName.VALIDATION: validation, SplitName.TEST: test},
        modality=Modality.IMAGE,
        scale=image_scale(str(path), train.inputs),
    )


def _read(file: Npz, short: str, name: SplitName) -> Split:
    where = str(file.path)
    images = read_images(where, name.value, file.read(f"x_{short}"))
    labels = file.read(f"y_{short}")
    check_rows(where, name.value, {f"x_{short}": images, f"y_{short}": labels})
    ids = np.array([f"{short}-{row:05d}" for row in range(len(images))])
    return Split(images, read_labels(where, name.value, TaskKind.SINGLE_LABEL, labels), ids)


MNIST = Source("mnist", "", "MNIST, 60,000 / 10,000 handwritten digits at 28x28", MnistOptions, load_mnist)
