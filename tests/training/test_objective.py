"""Class weights by hand and against scikit-learn; an objective as the sum of its terms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from galenic.record.errors import ModelError
from galenic.record.task import TaskKind
from galenic.record.training import ClassWeighting
from galenic.training.objective import Batch, LabelTerm, Objective, Pass, class_weights, label_loss


def test_balanced_weights_equal_scikit_learns() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(TaskKind.SINGLE_LABEL, labels, 3), expected, rtol=1e-6)


def test_multi_label_weights_are_negatives_over_positives() -> None:
    labels = np.array([[1, 0], [0, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(class_weights(TaskKind.MULTI_LABEL, labels, 2), [3.0, 1.0])


def test_label_losses_by_hand() -> None:
    labels = np.array([0, 1])
    loss = label_loss(TaskKind.SINGLE_LABEL, labels, 2, ClassWeighting.NONE, 0.0)
    assert loss(torch.zeros(1, 2), torch.tensor([1])).item() == pytest.approx(np.log(2))
    several = label_loss(TaskKind.MULTI_LABEL, np.eye(2), 2, ClassWeighting.NONE, 0.0)
    assert several(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).item() == pytest.approx(np.log(2))


class Halved:
    """0.5 * mean of a layer's output, with a weight of its own."""

    layers = ("0",)

    def __init__(self) -> None:
        self.own = nn.Linear(1, 1)

    def loss(self, seen: Pass) -> torch.Tensor:
        return 0.5 * seen.layers["0"].mean() * self.own.weight.sum().detach() / self.own.weight.sum()


def test_an_objective_is_the_sum_of_its_terms_over_one_pass() -> None:
    model = nn.Sequential(nn.Identity(), nn.Identity())
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    batch = Batch(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), np.array([0]), 0)
    label = LabelTerm(nn.CrossEntropyLoss(), 0.25)
    objective = Objective([label, Halved()])
    expected = 0.25 * math.log(1 + math.exp(-2)) + 0.5 * 1.0
    assert objective.loss(model, batch).item() == pytest.approx(expected)
    assert len(calls) == 1
    assert len(list(objective.own.parameters())) == 2
    assert Objective([label]).own is None


def test_a_layer_that_the_model_does_not_call_is_refused() -> None:
    class Idle(nn.Sequential):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self[1](inputs)

    batch = Batch(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), np.array([0]), 0)
    with pytest.raises(ModelError, match=r"'0'.*does not call"):
        Objective([Halved()]).loss(Idle(nn.Identity(), nn.Identity()), batch)
