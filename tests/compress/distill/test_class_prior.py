"""The bias from the class prior: exact counts by hand, for one class and several, and no label is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conftest import make_task
from galenic.compress.distill.class_prior import ClassPrior, bias_shift, bias_shifts, counts_of
from galenic.compress.method import Bench, Method
from galenic.pipeline.recipes import validated
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DataError, ModelError, RecipeError
from galenic.record.task import Split, SplitName, Task, TaskKind
from galenic.zoo.build import build
from galenic.zoo.model import Model


def test_one_class_by_hand() -> None:
    """Margins of class 1 are 1, -1, 3 and 2; in order -1, 1, 2, 3."""
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, -2.0]])
    assert [bias_shift(logits, 1, count) for count in (1, 2, 3)] == [0.0, 1.5, 2.5]
    for count in (1, 2, 3):
        shifted = logits + np.array([0.0, bias_shift(logits, 1, count)])
        assert (shifted.argmax(1) == 1).sum() == count


def test_equal_rows_are_not_parted() -> None:
    """Margins 1, 1, 1, 2, 5: one row can't be had, three can, four can."""
    logits = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [5.0, 0.0]])
    assert [bias_shift(logits, 1, count) for count in (1, 3, 4)] == [1.5, 1.5, 3.5]
    with pytest.raises(ModelError, match="equally far"):
        bias_shift(np.zeros((4, 3)), 1, 2)
    with pytest.raises(ModelError, match=r"nearest: \{1: 3\}"):
        bias_shifts(logits, {1: 1})


def test_two_classes_by_hand() -> None:
    """Every row is decided for class 0; classes 1 and 2 are to have two of six rows each."""
    logits = np.array([[9.0, k, -k] for k in range(1, 7)])
    shifts = bias_shifts(logits, {1: 2, 2: 2})
    assert np.bincount((logits + shifts).argmax(1)).tolist() == [2, 2, 2]
    assert shifts[0] == 0
    assert (logits + shifts).argmax(1).tolist() == [2, 2, 0, 0, 1, 1], "the rows that lean most to each"


@given(st.integers(0, 10_000), st.integers(2, 7), st.data())
def test_any_counts_that_fit_are_had_exactly(seed: int, classes: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (60, classes)) + rng.normal(0, 4, classes)
    named = data.draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes, unique=True))
    counts = counts_of(dict.fromkeys(named, 1 / classes), 60)
    found = np.bincount((logits + bias_shifts(logits, counts)).argmax(1), minlength=classes)
    assert {label: found[label] for label in named} == counts


def test_counts_by_largest_remainders() -> None:
    assert counts_of({3: 0.1}, 48) == {3: 5}
    assert counts_of({0: 1 / 3, 2: 1 / 3}, 10) == {0: 4, 2: 3}, "and three for the rest"
    assert counts_of(dict.fromkeys(range(10), 0.1), 48) == {label: 5 if label < 8 else 4 for label in range(10)}


def blind(task: Task) -> Task:
    """The task with calibration labels that say nothing, and no other split."""
    split = task.calibration
    return replace(task, splits={SplitName.CALIBRATION: Split(split.inputs, np.full_like(split.labels, -1), split.ids)})


def decided(model: Model, task: Task) -> np.ndarray:
    inputs = torch.from_numpy(to_inputs(task.preprocessing, task.calibration.inputs))
    with torch.no_grad():
        return np.bincount(model.module(inputs).argmax(1).numpy(), minlength=task.outputs)


@pytest.fixture
def net() -> Model:
    """A net that never decides for class 2."""
    model = build("resnet8", (1, 12, 12), 3, options={"width": 0.25})
    with torch.no_grad():
        model.module.classifier.bias[2] = -50.0
    return model


def test_the_share_is_right_and_no_label_is_read(tmp_path: Path, net: Model) -> None:
    task = make_task(rows=300, classes=3)
    net.module.train()
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    (model,) = ClassPrior(classes=("class 2",)).apply(net, Bench(blind(task), 0, tmp_path))
    assert decided(model, task)[2] == 100
    assert all(torch.equal(before[name], value) for name, value in net.module.state_dict().items())
    changed = [name for name, value in model.module.state_dict().items() if not torch.equal(before[name], value)]
    assert changed == ["classifier.bias"]
    assert model.module.classifier.bias[:2].tolist() == before["classifier.bias"][:2].tolist()
    assert not model.module.training
    assert model.lineage == ("resnet8", "class_prior")


def test_a_prior_for_each_class(tmp_path: Path, net: Model) -> None:
    task = make_task(classes=3)
    method = ClassPrior(classes=("class 0", "class 2"), prior={"class 0": 0.25, "class 2": 0.5})
    (model,) = method.apply(net, Bench(blind(task), 0, tmp_path))
    assert decided(model, task).tolist() == [12, 12, 24]
    (even,) = ClassPrior(classes=task.classes).apply(net, Bench(blind(task), 0, tmp_path))
    assert decided(even, task).tolist() == [16, 16, 16]


def test_what_cannot_be_done_is_refused(tmp_path: Path, net: Model) -> None:
    task = make_task(classes=3)
    bench = Bench(task, 0, tmp_path)
    with pytest.raises(RecipeError, match="did you mean 'class 2'"):
        ClassPrior(classes=("clas 2",)).apply(net, bench)
    with pytest.raises(RecipeError, match=r"sum of 0\.6"):
        ClassPrior(classes=task.classes, prior=0.2).apply(net, bench)
    with pytest.raises(DataError, match="48 calibration rows of halves, of which the prior of 'class 2' makes 0"):
        ClassPrior(classes=("class 2",), prior=0.001).apply(net, bench)
    several = make_task(classes=3, kind=TaskKind.MULTI_LABEL)
    with pytest.raises(RecipeError, match="multi-label"):
        ClassPrior(classes=("class 2",)).apply(net, Bench(several, 0, tmp_path))
    headless = replace(net, module=nn.Sequential(nn.Flatten(), nn.Linear(144, 3)))
    with pytest.raises(ModelError, match="a Linear module named 'classifier'"):
        ClassPrior(classes=("class 2",)).apply(headless, bench)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"classes": []}, "at least 1 item"),
        ({"classes": ["a"], "prior": 1.5}, "shares between 0 and 1"),
        ({"classes": ["a"], "prior": {"b": 0.5}}, "one number for all classes"),
        ({"classes": ["a", "b"], "prior": 0.6}, "sum is at most 1"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        validated(ClassPrior, options, "phase 2")
    assert expected in caught.value.expected


def test_it_is_a_method() -> None:
    assert isinstance(ClassPrior(classes=("a",)), Method)
