"""The gradients that scores are made of: the summed batch losses of training rows, in evaluation mode."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import make_task
from galenic.compress.method import Bench
from galenic.compress.prune import gradients
from galenic.compress.prune.gradients import loss_gradients
from galenic.preprocess.transform import to_inputs
from galenic.record.task import Task, TaskKind
from galenic.tasks.split import sample_rows


def net() -> nn.Module:
    """What it answers in training differs from what it answers in evaluation."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(400, 3)
    ).eval()


def by_hand(task: Task, module: nn.Module, batches: list[list[int]]) -> list[torch.Tensor]:
    inputs, labels = to_inputs(task.preprocessing, task.train.inputs), task.train.labels
    loss = torch.zeros(())
    for rows in batches:
        logits, truth = module(torch.from_numpy(inputs[rows])), torch.from_numpy(labels[rows])
        if task.kind is TaskKind.MULTI_LABEL:
            loss = loss + F.binary_cross_entropy_with_logits(logits, truth.float())
        else:
            loss = loss - F.log_softmax(logits, dim=1)[torch.arange(len(rows)), truth.long()].mean()
    return list(torch.autograd.grad(loss, list(module.parameters())))


@pytest.mark.parametrize("kind", [TaskKind.SINGLE_LABEL, TaskKind.MULTI_LABEL])
def test_they_are_those_of_the_batches_losses_added_up(kind: TaskKind, tmp_path: Path) -> None:
    task, module = make_task(150, classes=3, kind=kind), net()
    expected = by_hand(task, module, [list(range(64)), list(range(64, 128)), list(range(128, 150))])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad():
        for _ in range(2):  # what was there before does not count
            loss_gradients(module, Bench(task, 5, tmp_path))
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_of_many_rows_a_seeded_sample_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "ROWS", 30)
    task, module = make_task(90, classes=3), net()
    rows = sample_rows(task.train.labels, 30, 5).tolist()
    assert len(rows) == 30 < rows[-1]
    expected = by_hand(task, module, [rows])
    loss_gradients(module, Bench(task, 5, tmp_path))
    torch.testing.assert_close(module[0].weight.grad, expected[0], atol=1e-6, rtol=1e-4)
    loss_gradients(module, Bench(task, 6, tmp_path))
    assert not torch.allclose(module[0].weight.grad, expected[0], atol=1e-5)
