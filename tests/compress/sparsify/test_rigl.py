"""RigL: it grows where gradients computed by hand are largest, in steps that change nothing else; exact zeros; resuming."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import make_task
from galenic.compress.densities import Distribution
from galenic.compress.method import Bench
from galenic.compress.sparsify.rigl import RigL, gradient_growth
from galenic.compress.sparsify.topology import random_masks
from galenic.training.callbacks import State
from galenic.zoo.model import removed_share, weights_hash
from sparse_training import CONFIG, STEPS, Watched, killed_twice, mlp, same_bits, smallest

METHOD = RigL(every_steps=4)
"""Of 18 steps it moves in 4, 8 and 12: the mask stays after 13.5."""
MOVES = (4, 8, 12)


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=3, folder=tmp_path / "here", training=CONFIG)


def test_growth_is_the_size_of_the_gradient() -> None:
    weight, generator = nn.Parameter(torch.ones(2, 2)), torch.Generator()
    assert gradient_growth(weight, generator).tolist() == [[0, 0], [0, 0]], "a layer that the loss does not reach"
    (weight * torch.tensor([[3.0, -4.0], [0.0, 1.0]])).sum().backward()
    assert gradient_growth(weight, generator).tolist() == [[3, 4], [0, 1]]


def test_it_grows_where_the_gradients_by_hand_are_largest(tmp_path: Path) -> None:
    """One layer of 3 classes: the gradient is (softmax - label) x, whatever the optimizer or torch's autograd say."""
    watched = Watched(METHOD)
    watched.apply(mlp((), 3), Bench(make_task(classes=3), 3, tmp_path, CONFIG))
    (name,) = watched.steps[0].masks_before
    for step, seen in enumerate(watched.steps):
        mask, now = (masks[name].flatten() for masks in (seen.masks_before, seen.masks_after))
        assert int(now.sum()) == round(0.2 * 432) == 86
        if step not in MOVES:
            assert torch.equal(mask, now)
            continue
        count = round(0.15 * (1 + math.cos(math.pi * step / 13.5)) * 86)
        sizes = seen.before[name].flatten().abs().tolist()
        active = set(mask.nonzero().flatten().tolist())
        left = active - smallest({place: sizes[place] for place in active}, count)
        gradients = seen.gradient.flatten().abs().tolist()
        grown = smallest({place: -gradients[place] for place in range(432) if place not in left}, count)
        assert set(now.nonzero().flatten().tolist()) == left | grown
        assert grown - active, "some are new"


def test_a_step_that_moves_the_mask_changes_no_weight_that_stays(bench: Bench) -> None:
    watched = Watched(METHOD)
    watched.apply(mlp(), bench)
    assert len(watched.steps) == STEPS
    for step, seen in enumerate(watched.steps):
        biases = [name for name in seen.before if name not in seen.masks_after]
        assert any(not torch.equal(seen.before[name], seen.after[name]) for name in biases) is (step not in MOVES)
        for name, now in seen.masks_after.items():
            before, after, mask = seen.before[name], seen.after[name], seen.masks_before[name]
            assert (after[~now] == 0).all()
            if step in MOVES:
                assert torch.equal(after[now & mask], before[now & mask])
                assert (after[now & ~mask] == 0).all(), "grown weights start at zero"
            else:
                assert not torch.equal(after[now], before[now])
    moved = [any(not torch.equal(s.masks_before[n], s.masks_after[n]) for n in s.masks_after) for s in watched.steps]
    assert [step for step in range(STEPS) if moved[step]] == list(MOVES)


def test_what_is_grown_has_an_empty_momentum_and_the_optimizer_passes_over(bench: Bench) -> None:
    model = mlp()
    contribution = METHOD.contribute(model, bench)
    optimizer, masks = torch.optim.AdamW(model.module.parameters()), contribution.callbacks[1].remembered
    generator = torch.Generator().manual_seed(1)
    for parameter in model.module.parameters():
        parameter.grad = torch.rand(parameter.shape, generator=generator) + 1
    optimizer.step()
    before = {name: mask.clone() for name, mask in masks.items()}
    contribution.callbacks[0].gradients_ready(State(model.module, optimizer, 1, 4, 6, STEPS))
    assert all(parameter.grad is None for parameter in model.module.parameters())
    for name, mask in masks.items():
        grown, moments = mask & ~before[name], optimizer.state[model.module.get_parameter(name)]
        assert grown.any()
        for moment in (moments["exp_avg"], moments["exp_avg_sq"]):
            assert torch.equal(moment == 0, grown)


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_the_end_is_exactly_as_sparse_as_asked_for(ema: float, bench: Bench) -> None:
    start, watched = mlp(), Watched(METHOD)
    before = weights_hash(start)
    training = CONFIG.model_copy(update={"ema_decay": ema})
    (made,) = watched.apply(start, replace(bench, training=training))
    assert weights_hash(start) == before, "the model given is left as it was"
    assert made.lineage == ("mlp", "rigl")
    assert made.sparsity.parameters == ("features.1.weight", "classifier.weight")
    assert int((made.module.features[1].weight != 0).sum()) == 219
    assert int((made.module.classifier.weight != 0).sum()) == 14
    assert removed_share(made) == 1 - 233 / 1168
    for name, mask in watched.steps[-1].masks_after.items():
        assert (made.module.get_parameter(name)[~mask] == 0).all()


def test_layers_that_are_kept_stay_dense(bench: Bench) -> None:
    (made,) = RigL(sparsity=0.5, every_steps=4, keep=("classifier",)).apply(mlp(), bench)
    assert (made.module.classifier.weight != 0).all()
    assert int((made.module.features[1].weight == 0).sum()) == 576
    assert made.sparsity.parameters == ("features.1.weight",)


def test_steps_that_look_at_dense_gradients_cost_more(bench: Bench) -> None:
    """219 and 14 of 1152 and 16 weights, each multiplied once: 15 steps of 3 * 233 and 3 of 2 * 233 + 1168."""
    (made,) = METHOD.apply(mlp(), bench)
    assert made.sparsity.training_flops == pytest.approx((15 * 3 * 233 + 3 * (2 * 233 + 1168)) / (18 * 3 * 1168))


def test_it_starts_from_the_random_mask_of_its_distribution(bench: Bench) -> None:
    watched = Watched(RigL(sparsity=0.5, distribution=Distribution.UNIFORM, every_steps=4))
    watched.apply(mlp(), bench)
    names = ("features.1.weight", "classifier.weight")
    expected = random_masks(mlp(), names, 0.5, Distribution.UNIFORM, bench.seed)
    first = watched.steps[0]
    for name in names:
        assert torch.equal(first.masks_before[name], expected[name])
        assert torch.equal(first.before[name] != 0, expected[name]), "sparse in the very first pass"


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_a_training_that_is_killed_goes_on_to_the_same_model(ema: float, bench: Bench) -> None:
    bench = replace(bench, training=CONFIG.model_copy(update={"ema_decay": ema}))
    (whole,) = METHOD.apply(mlp(), replace(bench, folder=bench.folder / "whole"))
    made = killed_twice(METHOD, bench)
    assert same_bits(whole, made)
    assert made.sparsity == whole.sparsity
