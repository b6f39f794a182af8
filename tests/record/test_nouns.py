"""Hashes of records by hand, what they refuse, and a task's hashes."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from pydantic import ValidationError

from galenic.record.base import content_hash
from galenic.record.errors import DataError, ExitCode, GalenicError, MissingPackage, StoreError
from galenic.record.gate import Margins, Verdict
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.task import SplitName


def test_the_hash_of_a_value_is_that_of_its_sorted_json() -> None:
    assert content_hash({"b": 1, "a": [True, None]}) == hashlib.sha256(b'{"a":[true,null],"b":1}').hexdigest()


def test_records_refuse_unknown_keys_and_changes() -> None:
    with pytest.raises(ValidationError):
        Margins(auk=0.1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Margins(auc=0.0)
    with pytest.raises(ValidationError):
        Margins(auc=0.1).auc = 0.2  # type: ignore[misc]
    assert Margins(auc=0.1).digest() != Margins(auc=0.2).digest()


@pytest.mark.parametrize(
    "wrong",
    [
        {"raw_shape": (28, 28)},
        {"mean": (0.5,)},
        {"std": (0.1, 0.0, 0.1)},
    ],
)
def test_preprocessing_refuses_what_does_not_fit(wrong: dict) -> None:
    good = {"modality": Modality.IMAGE, "raw_shape": (28, 20, 3), "scale": 1, "mean": (0, 0, 0), "std": (1, 1, 1)}
    assert Preprocessing(**good).input_shape == (3, 28, 20)
    with pytest.raises(ValidationError):
        Preprocessing(**good | wrong)


def test_errors_carry_a_code_an_exit_code_and_three_parts() -> None:
    error = DataError("a.npz, row 3", "a label below 2", "mend it")
    assert (error.code, error.exit_code) == ("data", ExitCode.USAGE)
    assert str(error) == "[data] a.npz, row 3; expected a label below 2; mend it"
    assert MissingPackage("a", "b", "c").exit_code == 2
    assert StoreError("a", "b", "c").exit_code == 5
    assert issubclass(StoreError, GalenicError)
    assert [verdict.exit_code for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)] == [0, 1, 3]


def test_a_tasks_hash_follows_its_data(task) -> None:
    changed = task.train.inputs.copy()
    changed[0, 0, 0, 0] ^= 1
    train = dataclasses.replace(task.train, inputs=changed)
    other = dataclasses.replace(task, splits={**task.splits, SplitName.TRAIN: train})
    assert other.split_hashes["train"] != task.split_hashes["train"]
    assert other.split_hashes["test"] == task.split_hashes["test"]
    assert other.content_hash != task.content_hash


def test_taking_rows_takes_them_everywhere(task) -> None:
    split = dataclasses.replace(task.train, groups={"g": task.train.ids}, clusters=task.train.ids)
    part = split.take(np.array([4, 2]))
    assert len(part) == 2
    assert part.ids.tolist() == [split.ids[4], split.ids[2]]
    assert part.groups["g"].tolist() == part.clusters.tolist() == part.ids.tolist()
    assert np.array_equal(part.inputs[0], split.inputs[4])
