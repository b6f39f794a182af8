"""Class weights by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from galenic.record.task import TaskKind
from galenic.record.training import ClassWeighting
from galenic.training.objective import class_weights, label_loss


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
