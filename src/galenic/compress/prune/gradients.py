"""The gradient of the label loss with respect to every weight, for scores that ask what the loss would lose."""

from __future__ import annotations

import torch
from torch import nn

from galenic.compress.method import Bench
from galenic.preprocess.transform import to_inputs
from galenic.record.task import TaskKind
from galenic.record.training import ClassWeighting
from galenic.tasks.split import sample_rows
from galenic.training.objective import label_loss

ROWS, BATCH = 1024, 64


def loss_gradients(module: nn.Module, bench: Bench) -> None:
    """Fill the parameters' gradients with the sum over batches of training rows, unaugmented, in evaluation mode."""
    task = bench.task
    rows = sample_rows(task.train.labels, min(ROWS, len(task.train)), bench.seed)
    loss = label_loss(task.kind, task.train.labels, task.outputs, ClassWeighting.NONE, 0.0)
    inputs = torch.from_numpy(to_inputs(task.preprocessing, task.train.inputs[rows]))
    labels = torch.from_numpy(task.train.labels[rows])
    labels = labels.float() if task.kind is TaskKind.MULTI_LABEL else labels.long()
    module.zero_grad()
    with torch.enable_grad():
        for some, answers in zip(inputs.split(BATCH), labels.split(BATCH), strict=True):
            loss(module(some), answers).backward()
