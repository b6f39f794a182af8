"""Masks that move, by hand: which weights are dropped and grown, when, and what is forgotten; what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from galenic.compress.densities import Distribution
from galenic.compress.method import Bench, TrainedMethod
from galenic.compress.prune.magnitude import MagnitudePruning
from galenic.compress.sparsify import METHODS
from galenic.compress.sparsify.rigl import gradient_growth
from galenic.compress.sparsify.set import random_growth
from galenic.compress.sparsify.topology import Moves, forget_momentum, moved, random_masks
from galenic.record.errors import ModelError
from galenic.record.quant import QuantRule, QuantSpec
from galenic.zoo.build import build
from sparse_training import CONFIG, mlp

NAMES = ("features.1.weight", "classifier.weight")


def mask_of(*bits: int) -> torch.Tensor:
    return torch.tensor(bits, dtype=torch.bool)


def test_the_smallest_are_dropped_and_those_with_the_most_growth_grown() -> None:
    weight, mask = torch.tensor([5.0, -1.0, 3.0, 0.0, 0.0, -2.0]), mask_of(1, 1, 1, 0, 0, 1)
    growth = torch.tensor([9.0, 0.1, 9.0, 0.2, 0.7, 0.05])
    assert moved(weight, mask, growth, 1).tolist() == mask_of(1, 0, 1, 0, 1, 1).tolist()
    assert moved(weight, mask, growth, 2).tolist() == mask_of(1, 0, 1, 1, 1, 0).tolist()
    assert mask.tolist() == mask_of(1, 1, 1, 0, 0, 1).tolist(), "the mask given is left as it was"
    assert moved(weight, mask, growth, 0).tolist() == mask.tolist()


def test_a_weight_that_was_just_dropped_may_grow_again() -> None:
    weight, mask = torch.tensor([[5.0, -1.0], [0.0, 2.0]]), torch.tensor([[True, True], [False, True]])
    growth = torch.tensor([[0.0, 0.9], [0.8, 0.0]])
    assert moved(weight, mask, growth, 1).tolist() == [[True, True], [False, True]]
    assert moved(weight, mask, growth, 2).tolist() == [[True, True], [True, False]]


@given(st.data())
def test_as_many_stay_active_the_largest_among_them(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 24))
    numbers = st.floats(-4, 4, width=32)
    weight, growth = (torch.tensor(data.draw(st.lists(numbers, min_size=size, max_size=size))) for _ in range(2))
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    active = int(mask.sum())
    count = data.draw(st.integers(0, min(active, size - active)))
    now = moved(weight * mask, mask, growth, count)
    assert int(now.sum()) == active
    left = sorted(weight[mask].abs().tolist(), reverse=True)[: active - count]
    gone = weight[mask & ~now].abs()
    assert not left or not len(gone) or float(gone.max()) <= left[-1]
    assert int((now & ~mask).sum()) <= count
    came, stayed_out = growth[now & ~mask], growth[~now]
    assert not len(came) or not len(stayed_out) or came.min() >= stayed_out.max()


def test_moves_are_due_along_a_cosine_that_ends() -> None:
    moves = Moves(gradient_growth, share=0.3, every_steps=10, until=0.75, looks_at_gradients=True)
    due = {step: moves.due(step, 100) for step in range(101) if moves.due(step, 100)}
    assert list(due) == [10, 20, 30, 40, 50, 60, 70]
    assert list(due.values()) == pytest.approx([0.15 * (1 + math.cos(math.pi * step / 75)) for step in due])
    halfway = replace(moves, every_steps=25, until=0.5)
    assert halfway.due(25, 100) == pytest.approx(0.15), "half of the share in the middle"
    assert (halfway.due(0, 100), halfway.due(24, 100), halfway.due(50, 100), halfway.due(75, 100)) == (0, 0, 0, 0)


def test_nothing_moves_in_the_last_step_where_it_would_not_be_trained() -> None:
    moves = Moves(random_growth, share=0.5, every_steps=3, until=1.0, looks_at_gradients=False)
    assert [step for step in range(10) if moves.due(step, 10)] == [3, 6]
    assert [step for step in range(11) if moves.due(step, 11)] == [3, 6, 9]


def test_random_masks_have_the_counts_of_their_distribution() -> None:
    """Erdos-Renyi: e = 0.2 * 1168 / (8 + 144 + 2 + 8) = 1.442, times 152 and times 10 weights."""
    erk = random_masks(mlp(), NAMES, 0.2, Distribution.ERK, 0)
    assert {name: int(mask.sum()) for name, mask in erk.items()} == {NAMES[0]: 219, NAMES[1]: 14}
    assert {name: tuple(mask.shape) for name, mask in erk.items()} == {NAMES[0]: (8, 144), NAMES[1]: (2, 8)}
    uniform = random_masks(mlp(), NAMES, 0.2, Distribution.UNIFORM, 0)
    assert [int(mask.sum()) for mask in uniform.values()] == [230, 3]
    thin = random_masks(mlp(), NAMES, 0.001, Distribution.UNIFORM, 0)
    assert [int(mask.sum()) for mask in thin.values()] == [1, 1]


def test_random_masks_follow_from_their_seed_alone() -> None:
    first = random_masks(mlp(), NAMES, 0.5, Distribution.ERK, 4)
    torch.rand(7)
    again = random_masks(mlp(), NAMES, 0.5, Distribution.ERK, 4)
    other = random_masks(mlp(), NAMES, 0.5, Distribution.ERK, 5)
    assert all(torch.equal(first[name], again[name]) for name in NAMES)
    assert not torch.equal(first[NAMES[0]], other[NAMES[0]])


def test_only_grown_weights_forget_their_momentum() -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    layer(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()
    before = {name: value.clone() for name, value in optimizer.state[layer.weight].items()}
    assert (before["exp_avg"] != 0).all()
    grown = torch.tensor([[True, False, False], [False, False, True]])
    forget_momentum(optimizer, layer.weight, grown)
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(optimizer.state[layer.weight][name], before[name] * ~grown)
    assert optimizer.state[layer.weight]["step"] == 1
    assert (optimizer.state[layer.bias]["exp_avg"] != 0).all()
    forget_momentum(torch.optim.AdamW(layer.parameters()), layer.weight, grown)  # before the first step there is none


@pytest.mark.parametrize("method", [method() for method in METHODS], ids=lambda one: one.name)
def test_pruned_and_quantized_models_and_unknown_patterns_are_refused(method, task, tmp_path: Path) -> None:
    assert isinstance(method, TrainedMethod)
    bench = Bench(task, 0, tmp_path, CONFIG)
    (pruned,) = MagnitudePruning(sparsity=0.5).apply(mlp(), bench)
    quantized = replace(mlp(), quant=QuantSpec(rule=QuantRule()))
    for refuse in (method.refuse_model, lambda model: method.apply(model, bench)):
        with pytest.raises(ModelError, match=r"a model that is pruned already \(mlp \+ magnitude\)"):
            refuse(pruned)
        with pytest.raises(ModelError, match="sparse training of a model that is quantized"):
            refuse(quantized)
    with pytest.raises(ModelError, match="keep = 'head', which no layer of mlp matches"):
        method.model_copy(update={"keep": ("head",)}).refuse_model(mlp())
    with pytest.raises(ModelError, match="no layer is left to prune"):
        method.model_copy(update={"keep": ("*",)}).refuse_model(build("mlp", (4,), 2, options={"hidden": []}))
    method.refuse_model(mlp())


@pytest.mark.parametrize("method", METHODS, ids=lambda one: one.name)
@pytest.mark.parametrize("sparsity", [0, 1, -1])
def test_a_sparsity_is_between_zero_and_one(method, sparsity: float) -> None:
    with pytest.raises(ValidationError, match="sparsity"):
        method(sparsity=sparsity)
