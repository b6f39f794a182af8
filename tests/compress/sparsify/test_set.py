"""SET: weights grow where a seeded draw says, whatever the gradients are."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from galenic.compress.method import Bench
from galenic.compress.sparsify.set import SET, random_growth
from galenic.zoo.model import removed_share
from sparse_training import CONFIG, Watched, killed_twice, mlp, same_bits, smallest

METHOD = SET(every_steps=4)
MOVES = (4, 8, 12)


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=3, folder=tmp_path / "here", training=CONFIG)


def test_growth_is_drawn_and_gradients_are_not_looked_at() -> None:
    weight = nn.Parameter(torch.ones(3, 4))
    drawn = random_growth(weight, torch.Generator().manual_seed(1))
    weight.grad = torch.full((3, 4), torch.nan)
    assert torch.equal(random_growth(weight, torch.Generator().manual_seed(1)), drawn)
    assert not torch.equal(random_growth(weight, torch.Generator().manual_seed(2)), drawn)
    assert drawn.shape == (3, 4)
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert len(set(drawn.flatten().tolist())) == 12


def test_it_grows_where_the_draw_of_seed_and_step_is_highest(bench: Bench) -> None:
    watched = Watched(METHOD)
    watched.apply(mlp(()), bench)
    (name,) = watched.steps[0].masks_before
    for step, seen in enumerate(watched.steps):
        mask, now = (masks[name].flatten() for masks in (seen.masks_before, seen.masks_after))
        if step not in MOVES:
            assert torch.equal(mask, now)
            continue
        count = round(0.15 * (1 + math.cos(math.pi * step / 13.5)) * 58)  # 0.2 * 288 = 57.6 weights
        sizes, active = seen.before[name].flatten().abs().tolist(), set(mask.nonzero().flatten().tolist())
        left = active - smallest({place: sizes[place] for place in active}, count)
        drawn = torch.rand(2, 144, generator=torch.Generator().manual_seed(3 * 1_000_003 + step)).flatten().tolist()
        grown = smallest({place: -drawn[place] for place in range(288) if place not in left}, count)
        assert set(now.nonzero().flatten().tolist()) == left | grown
        assert grown - active, "some are new"


def test_the_same_seed_makes_the_same_model_and_another_one_another(bench: Bench) -> None:
    first, again, other = (
        METHOD.apply(mlp(), replace(bench, folder=bench.folder / name, seed=seed))[0]
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert same_bits(first, again)
    assert not torch.equal(first.module.features[1].weight != 0, other.module.features[1].weight != 0)


def test_the_end_is_exactly_as_sparse_as_asked_for_and_no_dense_gradient_was_paid(bench: Bench) -> None:
    watched = Watched(METHOD)
    (made,) = watched.apply(mlp(), bench)
    assert made.lineage == ("mlp", "set")
    assert removed_share(made) == 1 - 233 / 1168
    assert made.sparsity.training_flops == pytest.approx(233 / 1168)
    for name, mask in watched.steps[-1].masks_after.items():
        assert torch.equal(made.module.get_parameter(name) != 0, mask)
    first, last = watched.steps[0].masks_before, watched.steps[-1].masks_after
    assert not torch.equal(first["features.1.weight"], last["features.1.weight"])


def test_a_training_that_is_killed_goes_on_to_the_same_model(bench: Bench) -> None:
    (whole,) = METHOD.apply(mlp(), replace(bench, folder=bench.folder / "whole"))
    made = killed_twice(METHOD, bench)
    assert same_bits(whole, made)
    assert made.sparsity == whole.sparsity
