"""Ranges tuned together: nearer to the float answers, and nothing else is changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.calibrate import calibrate
from galenic.compress.quantize.places import logits
from galenic.compress.quantize.simulate import answers, divergence
from galenic.compress.quantize.static import Choices, Rows, place, quantize_static
from galenic.compress.quantize.tuning import tuned
from galenic.record.quant import Observer, QuantRule, TensorRole
from galenic.record.task import TaskKind
from galenic.zoo.graph import folded


@pytest.fixture
def gated(as_model):
    """A net with a gate, whose first layer's outputs are very unlike."""
    torch.manual_seed(0)

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.gate, self.last = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x).relu()
            answer: torch.Tensor = self.last(x * torch.sigmoid(self.gate(x)))
            return answer

    model = as_model(Gated(), (6,), 3)
    with torch.no_grad():
        model.module.first.weight[0] *= 60
        model.module.last.weight[:, 1:] *= 8
    return model


def lost(graph, points, rows) -> float:
    found = answers(graph, rows, points, without=(logits(graph),))
    return float(divergence(answers(graph, rows), found, TaskKind.SINGLE_LABEL).mean())


def test_what_the_whole_loses_becomes_less_and_weights_and_gates_stay(gated, batches) -> None:
    _, graph = folded(gated)
    rows, others = batches(200, (6,)), batches(200, (6,), 1)
    points = place(graph, QuantRule(), calibrate(graph, rows), Observer.MIN_MAX)
    weights = {name: value.clone() for name, value in graph.named_parameters()}
    found = tuned(graph, graph, points, rows)
    assert lost(graph, found, others) < 0.7 * lost(graph, points, others), "on rows that it has not seen"
    assert all(torch.equal(value, weights[name]) for name, value in graph.named_parameters())
    assert all(value.grad is None for value in graph.parameters())
    before, after = ({(p.tensor, p.role): p for p in those} for those in (points, found))
    assert before.keys() == after.keys()
    same = {key for key in before if before[key] == after[key]}
    assert same == {
        ("sigmoid", TensorRole.OUTPUT),
        (logits(graph), TensorRole.OUTPUT),
        *((name, TensorRole.WEIGHT) for name in ("first", "gate", "last")),
    }
    assert found == tuned(graph, graph, points, rows), "nothing is random"


def test_it_is_taken_where_it_helps_and_not_tried_where_little_is_lost(gated, batches, known) -> None:
    rows = Rows(batches(200, (6,)), batches(200, (6,), 1))
    measured = quantize_static(gated, QuantRule(), rows, Choices(Observer.MIN_MAX, False, False)).quant.measured
    assert list(measured) == ["min-max", "min-max + tuned ranges"]
    assert measured["min-max + tuned ranges"] < measured["min-max"]
    little = Rows(batches(64, (2,)), batches(64, (2,), 1))
    (name,) = quantize_static(known, QuantRule(), little, Choices(Observer.MIN_MAX, False, False)).quant.measured
    assert name == "min-max"
    asked = quantize_static(known, QuantRule(), little, Choices(Observer.MIN_MAX, False, False, True)).quant
    assert list(asked.measured) == ["min-max + tuned ranges"]
    assert np.isfinite(next(iter(asked.measured.values())))
