from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from galenic.record.predictions import Predictions
from galenic.record.task import SplitName, TaskKind

CLASSES = ("benign", "malignant", "unclear", "normal")


def predictions(labels: np.ndarray, logits: np.ndarray, **changes: object) -> Predictions:
    """Test predictions with ids case-0 ... and class 1 positive."""
    classes = logits.shape[1]
    made = Predictions(
        ids=np.array([f"case-{i}" for i in range(len(labels))]),
        labels=labels,
        logits=logits.astype(np.float32),
        split=SplitName.TEST,
        split_hash="5" * 64,
        kind=TaskKind.SINGLE_LABEL,
        classes=CLASSES[:classes],
        positive=(1,),
        made_by="a" * 64,
    )
    return replace(made, **changes)


def two_models(n: int, seed: int = 0, noise: float = 0.05, shift: float = 2.5, **changes: object):
    """An artifact and its reference on n cases, half of them positive; the artifact is the reference plus noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    score = rng.normal(size=n) + shift * (labels - 0.5)
    near = score + noise * rng.normal(size=n)
    reference = predictions(labels, np.stack([np.zeros(n), score], axis=1), made_by="b" * 64, **changes)
    return predictions(labels, np.stack([np.zeros(n), near], axis=1), **changes), reference


@pytest.fixture
def make() -> Callable[..., Predictions]:
    return predictions


@pytest.fixture
def pair() -> Callable[..., tuple[Predictions, Predictions]]:
    return two_models
