"""One layer at a time: against whole simulations with a single layer's points, and against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.calibrate import calibrate, in_batches
from galenic.compress.quantize.grid import Grid, activation_point, weight_point
from galenic.compress.quantize.sensitivity import (
    Trial,
    divergences,
    first_rows,
    mean_interval,
    measure_layers,
    output_of,
    trials,
    whole_divergences,
)
from galenic.compress.quantize.simulate import answers, divergence
from galenic.compress.quantize.static import Choices, Rows, place, quantize_static
from galenic.compress.quantize.weights import bake
from galenic.record.quant import FLOAT_BITS, Arithmetic, LayerRule, Observer, QuantRule, TensorRole
from galenic.record.task import TaskKind
from galenic.zoo.graph import bound, folded, layers, traced
from galenic.zoo.model import Model


class Branches(nn.Module):
    """Two ways that meet, a pool that shares its input's grid, a batch norm to fold, an activation that is no ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.Hardswish()
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = x + self.act(self.second(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def branches(as_model: Callable[..., Model]) -> Model:
    torch.manual_seed(0)
    net = Branches()
    nn.init.normal_(net.norm.running_mean)
    nn.init.normal_(net.head.weight, std=3.0)
    return as_model(net, (2, 5, 5), 3)


def test_each_layer_alone_is_as_a_whole_simulation_with_its_points_only(branches: Model, batches) -> None:
    model, graph = folded(branches)
    calibration, rows = batches(40, (2, 5, 5)), batches(50, (2, 5, 5), 1)
    points = place(graph, QuantRule(weight_bits=4), calibrate(graph, calibration), Observer.MSE)
    tried = trials(graph, points)
    assert [one.layer for one in tried] == list(layers(graph)) == ["first", "second", "head"]
    found = divergences(graph, rows, tried)
    reference = answers(graph, rows)
    for trial, alone in zip(tried, found, strict=True):
        baked = replace(model, module=deepcopy(model.module))
        own = bound(graph, baked)
        bake(own, trial.points)
        expected = divergence(reference, answers(own, rows, trial.points), TaskKind.SINGLE_LABEL)
        assert len(alone) == 50
        assert float(expected.mean()) > 1e-6, "4 bits are seen in the answers"
        torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-9)
    assert torch.equal(answers(graph, rows), reference), "the float model is as it was"


def test_a_layer_is_quantized_by_its_weights_and_by_what_it_gives_after_its_relu(branches: Model, batches) -> None:
    _, graph = folded(branches)
    assert output_of(graph, "first") == "relu"
    assert output_of(graph, "second") == "second"
    assert output_of(graph, "head") is None, "logits stay float"
    points = place(graph, QuantRule(), calibrate(graph, batches(8, (2, 5, 5))), Observer.MIN_MAX)
    bits = {one.layer: (one.bits(TensorRole.WEIGHT), one.bits(TensorRole.OUTPUT)) for one in trials(graph, points)}
    assert bits == {"first": (8, 8), "second": (8, 8), "head": (8, FLOAT_BITS)}


def test_one_weight_and_one_output_by_hand(known: Model) -> None:
    graph = traced(known)
    # W2 rounded to quarters: (1, 0), (.25, -4), (-.5, 2) are quarters already, so nothing changes
    exact = weight_point("2", torch.full((3, 1), 0.25), 8, 0)
    # and to whole numbers: .25 -> 0 and -.5 -> -0 (ties to even)
    coarse = weight_point("2", torch.ones(3, 1), 4, 0)
    # the hidden values of x = (1, 0) are relu(1, 1) = (1, 1); in steps of .4 they are .8 (2.5 is a tie, to the even 2)
    output = activation_point("1/relu", Grid(0.4, 0), 8)
    tried = [Trial("2", (exact,)), Trial("2", (coarse,)), Trial("0", (output,))]
    rows = in_batches(np.array([[1.0, 0.0]], np.float32))
    found = [float(one[0]) for one in divergences(graph, rows, tried)]

    def kl(logits: list[float]) -> float:
        p, q = (np.exp(x) / np.exp(x).sum() for x in (np.array([1.0, -2.75, 0.5]), np.array(logits)))
        return float((p * np.log(p / q)).sum())

    assert found[0] == pytest.approx(0.0, abs=1e-12)
    assert found[1] == pytest.approx(kl([1.0, -3.0, 1.0]), rel=1e-5)
    assert found[2] == pytest.approx(kl([0.8, 0.8 * -3.75 + 1.0, 0.8 * 1.5 - 1.0]), rel=1e-5)


def test_the_interval_is_that_of_a_mean_and_not_below_zero() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 6.0])
    error = float(np.std([1, 2, 3, 6], ddof=1)) / 2
    assert mean_interval(values) == pytest.approx((3.0, max(0.0, 3 - 1.96 * error), 3 + 1.96 * error))
    assert mean_interval(torch.tensor([0.0, 0.0, 9.0]))[1] == 0.0
    assert mean_interval(torch.tensor([2.0])) == (2.0, 2.0, 2.0)
    assert mean_interval(torch.tensor([-1e-17, 0.0]))[:2] == (0.0, 0.0)


def test_fewer_bits_hurt_more_and_kept_layers_are_not_tried(branches: Model, batches) -> None:
    _, graph = folded(branches)
    rows = Rows(batches(40, (2, 5, 5)), batches(60, (2, 5, 5), 1))
    head = LayerRule(layer="head", weight_bits=8)
    rules = [QuantRule(weight_bits=bits, keep=("second",), layers=(head,)) for bits in (8, 3)]
    said: list[tuple[int, int]] = []
    told = measure_layers(
        graph, rules, rows, Observer.MSE, lambda work, done, total, note="": said.append((done, total))
    )
    assert [(one.layer, one.weight_bits, one.activation_bits) for one in told] == [
        ("first", 8, 8),
        ("first", 3, 8),
        ("head", 8, FLOAT_BITS),
    ], "the head has the same bits in both rules"
    assert told[0].value < told[1].value
    assert all(one.low <= one.value <= one.high and one.n == 60 and one.unit == "nats" for one in told)
    assert said == [(done, 6) for done in range(7)], "three layers in two batches"


def test_where_no_activation_is_integer_only_weights_are_rounded(branches: Model, batches) -> None:
    _, graph = folded(branches)
    rows = Rows(lambda: pytest.fail("nothing is calibrated"), batches(8, (2, 5, 5)))
    told = measure_layers(graph, [QuantRule(arithmetic=Arithmetic.WEIGHTS)], rows, Observer.MSE)
    assert [(one.layer, one.activation_bits) for one in told] == [(name, FLOAT_BITS) for name in layers(graph)]


def test_rows_beyond_the_most_are_not_asked_for(batches) -> None:
    asked: list[int] = []

    def counted():
        for number, batch in enumerate(batches(100, (2,))()):
            asked.append(number)
            yield batch

    assert [len(batch) for batch in first_rows(counted, 40)()] == [32, 8]
    assert asked == [0, 1]
    assert [len(batch) for batch in first_rows(batches(20, (2,)), 40)()] == [20]


def test_the_whole_is_the_divergence_of_the_simulation(branches: Model, batches) -> None:
    rows = Rows(batches(40, (2, 5, 5)), batches(30, (2, 5, 5), 1))
    made = quantize_static(branches, QuantRule(weight_bits=5), rows, Choices(Observer.MSE, False, False, False))
    assert made.quant is not None
    graph = traced(branches)
    found = whole_divergences(graph, traced(made), made.quant.points, rows.validation, TaskKind.SINGLE_LABEL)
    assert float(found.mean()) == pytest.approx(made.quant.measured["mse"], rel=1e-6)
