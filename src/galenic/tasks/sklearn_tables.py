"""Two real data sets that come with scikit-learn: 8x8 digits (UCI, Alpaydin and Kaynak 1998) and the Wisconsin breast
cancer table (UCI, Wolberg, Street and Mangasarian 1995). Both are split by a fixed stratified seed, 60 / 15 / 25 %.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from galenic.record.errors import MissingPackage
from galenic.record.preprocessing import Modality
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.overlap import row_keys
from galenic.tasks.source import RawTask, Source, SourceOptions
from galenic.tasks.split import three_ways

_VALIDATION, _TEST = 0.15, 0.25


def load_digits(_: str, options: SourceOptions) -> RawTask:
    """1,797 handwritten digits, 8x8 pixels of 0..16."""
    bunch = _sklearn("load_digits")
    images = bunch.images.astype(np.uint8)[..., None]
    return RawTask(
        name="Digits 8x8 (scikit-learn)",
        where="scikit-learn digits",
        kind=TaskKind.SINGLE_LABEL,
        classes=tuple(str(digit) for digit in range(10)),
        positive=(),
        splits=_split(images, bunch.target, "digit", options.seed),
        modality=Modality.IMAGE,
        scale=1 / 16,
    )


def load_wisconsin(_: str, options: SourceOptions) -> RawTask:
    """569 breast masses, 30 measurements of cell nuclei each; malignant is positive (class 0, as in the table)."""
    bunch = _sklearn("load_breast_cancer")
    return RawTask(
        name="Wisconsin breast cancer (scikit-learn)",
        where="scikit-learn breast_cancer",
        kind=TaskKind.SINGLE_LABEL,
        classes=("malignant", "benign"),
        positive=(0,),
        splits=_split(bunch.data.astype(np.float32), bunch.target, "mass", options.seed),
        modality=Modality.TABLE,
        scale=1.0,
    )


def _split(inputs: np.ndarray, labels: np.ndarray, word: str, seed: int) -> dict[SplitName, Split]:
    whole = Split(
        inputs=inputs,
        labels=labels.astype(np.int64),
        ids=np.array([f"{word}-{row:04d}" for row in range(len(labels))]),
    )
    parts = three_ways(whole.labels, row_keys(inputs), _VALIDATION, _TEST, seed)
    names = (SplitName.TRAIN, SplitName.VALIDATION, SplitName.TEST)
    return {name: whole.take(rows) for name, rows in zip(names, parts, strict=True)}


def _sklearn(function: str) -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingPackage(
            "scikit-learn is not installed", "scikit-learn, which brings this data", "pip install 'galenic[forge]'"
        ) from error
    loader: Callable[[], Any] = getattr(datasets, function)
    return loader()


DIGITS = Source("digits", "", "1,797 handwritten digits at 8x8 from scikit-learn", SourceOptions, load_digits)
WISCONSIN = Source(
    "wisconsin", "", "569 breast masses, 30 measurements each, malignant or not", SourceOptions, load_wisconsin
)
