"""The control of sparse training: the mask it starts with is the one it ends with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from galenic.compress.densities import Distribution
from galenic.compress.method import Bench
from galenic.compress.sparsify.static_random import StaticRandom
from galenic.compress.sparsify.topology import random_masks
from galenic.zoo.model import weights_hash
from sparse_training import CONFIG, STEPS, Watched, killed_twice, mlp, same_bits

NAMES = ("features.1.weight", "classifier.weight")


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=3, folder=tmp_path / "here", training=CONFIG)


@pytest.mark.parametrize("distribution", list(Distribution))
def test_the_mask_never_moves(distribution: Distribution, bench: Bench) -> None:
    start, watched = mlp(), Watched(StaticRandom(sparsity=0.75, distribution=distribution))
    before = weights_hash(start)
    (made,) = watched.apply(start, bench)
    assert weights_hash(start) == before
    expected = random_masks(mlp(), NAMES, 0.25, distribution, 3)
    assert len(watched.steps) == STEPS
    for seen in watched.steps:
        for name, mask in expected.items():
            assert torch.equal(seen.masks_after[name], mask)
            assert torch.equal(seen.before[name] != 0, mask)
            assert torch.equal(seen.after[name] != 0, mask)
            assert not torch.equal(seen.before[name], seen.after[name]), "what is there is trained"
    for name, mask in expected.items():
        assert torch.equal(made.module.get_parameter(name) != 0, mask), "the average is masked like the weights"
    assert made.lineage == ("mlp", "static_random")
    assert made.sparsity.parameters == NAMES
    kept = sum(int(mask.sum()) for mask in expected.values())
    assert made.sparsity.training_flops == pytest.approx(kept / 1168)


def test_another_seed_draws_another_mask(bench: Bench) -> None:
    one, other = (
        StaticRandom().apply(mlp(), replace(bench, seed=seed, folder=bench.folder / str(seed)))[0] for seed in (0, 1)
    )
    assert not torch.equal(one.module.features[1].weight != 0, other.module.features[1].weight != 0)


def test_a_training_that_is_killed_goes_on_to_the_same_model(bench: Bench) -> None:
    (whole,) = StaticRandom().apply(mlp(), replace(bench, folder=bench.folder / "whole"))
    made = killed_twice(StaticRandom(), bench)
    assert same_bits(whole, made)
    assert made.sparsity == whole.sparsity
