"""Predictions survive the disk unchanged, and a damaged file is refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from galenic.record.errors import DataError
from galenic.record.predictions import Predictions
from galenic.record.task import SplitName, TaskKind


@pytest.fixture
def predictions() -> Predictions:
    return Predictions(
        ids=np.array(["a", "b"]),
        labels=np.array([0, 1]),
        logits=np.array([[0.0, np.log(3)], [1.0, 0.0]], dtype=np.float32),
        split=SplitName.TEST,
        split_hash="s",
        kind=TaskKind.SINGLE_LABEL,
        classes=("no", "yes"),
        positive=(1,),
        made_by="f",
        groups={"sex": np.array(["f", "m"])},
        clusters=np.array(["p1", "p1"]),
    )


def test_probabilities_and_decisions_by_hand(predictions: Predictions) -> None:
    np.testing.assert_allclose(predictions.probabilities()[0], [0.25, 0.75], rtol=1e-6)
    assert predictions.decisions().tolist() == [1, 0]
    several = dataclasses.replace(predictions, kind=TaskKind.MULTI_LABEL)
    np.testing.assert_allclose(several.probabilities()[0], [0.5, 0.75], rtol=1e-6)
    assert several.decisions().tolist() == [[0, 1], [1, 0]]


def test_huge_logits_do_not_overflow(predictions: Predictions) -> None:
    huge = dataclasses.replace(predictions, logits=np.array([[1e4, -1e4], [-1e4, 1e4]], dtype=np.float32))
    assert huge.probabilities().tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert dataclasses.replace(huge, kind=TaskKind.MULTI_LABEL).probabilities().tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_what_is_saved_is_loaded(predictions: Predictions, tmp_path: Path) -> None:
    predictions.save(tmp_path / "p.npz")
    loaded = Predictions.load(tmp_path / "p.npz")
    for field in dataclasses.fields(Predictions):
        ours, theirs = getattr(predictions, field.name), getattr(loaded, field.name)
        if field.name == "groups":
            assert {name: list(values) for name, values in theirs.items()} == {"sex": ["f", "m"]}
        else:
            assert np.array_equal(ours, theirs), field.name


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:50], lambda b: b"not a zip at all"])
def test_a_damaged_file_is_refused_by_name(predictions: Predictions, tmp_path: Path, damage) -> None:
    path = tmp_path / "p.npz"
    predictions.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"p\.npz is not a predictions file"):
        Predictions.load(path)
