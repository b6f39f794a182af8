"""The simulation against integers by hand, and divergences against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from galenic.compress.quantize.grid import Grid, activation_point, affine_grid
from galenic.compress.quantize.simulate import answers, divergence, simulated
from galenic.record.task import TaskKind
from galenic.zoo.graph import traced


def test_every_tensor_with_a_point_is_rounded_and_no_other(known, batches) -> None:
    entry, hidden = affine_grid(-3.0, 3.0, 4), Grid(0.125, 2)
    points = [activation_point("input", entry, 4), activation_point("1/relu", hidden, 8)]
    inputs = torch.tensor([[0.3, -1.0], [2.0, 0.1]])
    step, zero = entry
    rounded = (np.clip(np.round(inputs.numpy() / step) + zero, 0, 15) - zero) * step
    weights = [known.module[number].weight.detach().numpy() for number in (0, 2)]
    biases = [known.module[number].bias.detach().numpy() for number in (0, 2)]
    middle = np.maximum(rounded @ weights[0].T + biases[0], 0)
    middle = (np.clip(np.round(middle / 0.125) + 2, 0, 255) - 2) * 0.125
    expected = middle @ weights[1].T + biases[1]
    with torch.no_grad():
        found = simulated(traced(known), points, inputs)
        free = simulated(traced(known), points, inputs, without=("input", "1/relu"))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    torch.testing.assert_close(free, known.module(inputs).detach())
    assert torch.equal(answers(traced(known), batches(70, (2,)))[64:], answers(traced(known), batches(70, (2,)))[64:])
    assert answers(traced(known), batches(70, (2,))).shape == (70, 3)


def test_a_pool_is_rounded_to_its_inputs_grid(as_model) -> None:
    net = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.AvgPool1d(4), torch.nn.Flatten())
    graph = traced(as_model(net, (1, 4), 1))
    points = [activation_point("0/relu", Grid(1.0, 0), 8)]
    rows = torch.tensor([[[0.0, 1.0, 1.0, 1.0]]])
    assert simulated(graph, points, rows).item() == 1.0  # 0.75 is no integer
    assert simulated(graph, points, rows, without=("1/avg_pool1d", "2/flatten")).item() == 0.75


def test_divergence_agrees_with_scipy() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(5, 3)), random.normal(size=(5, 3))
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (first, second))
    found = divergence(torch.from_numpy(first), torch.from_numpy(second), TaskKind.SINGLE_LABEL)
    np.testing.assert_allclose(found, rel_entr(p, q).sum(1))
    p, q = (1 / (1 + np.exp(-x)) for x in (first, second))
    found = divergence(torch.from_numpy(first), torch.from_numpy(second), TaskKind.MULTI_LABEL)
    np.testing.assert_allclose(found, (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).sum(1))
    assert float(divergence(torch.ones(1, 2), torch.ones(1, 2), TaskKind.SINGLE_LABEL)) == pytest.approx(0.0)
