"""What methods with moving masks are told is what they do: shares, ends, distributions, kept layers, what is forgotten."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from galenic.compress.densities import Distribution
from galenic.compress.method import Bench, Contribution, train_together
from galenic.compress.sparsify.dst import DST, masks_by
from galenic.compress.sparsify.rigl import RigL
from galenic.compress.sparsify.set import SET
from galenic.compress.sparsify.static_random import StaticRandom
from galenic.training.callbacks import Callback, State
from galenic.zoo.model import Model
from sparse_training import CONFIG, STEPS, Watched, mlp

BODY, HEAD = "features.1.weight", "classifier.weight"


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=3, folder=tmp_path / "here", training=CONFIG)


def smallest_of(seen: Any, name: str, count: int) -> Tensor:
    sizes = seen.before[name].abs().masked_fill(~seen.masks_before[name], torch.inf).flatten()
    return sizes.argsort()[:count]


@pytest.mark.parametrize("method", [RigL, SET])
def test_the_share_and_the_end_are_those_that_were_given(method, bench: Bench) -> None:
    """Every 6 of 18 steps; 0.4 (1 + cos(pi / 3)) of 219 weights are 131, and none but the smallest 131 go."""
    watched = Watched(method(share=0.8, every_steps=6, until=1.0))
    watched.apply(mlp(), bench)
    moved = [i for i, s in enumerate(watched.steps) if not torch.equal(s.masks_before[BODY], s.masks_after[BODY])]
    assert moved == [6, 12]
    first = watched.steps[6]
    count = round(0.4 * (1 + math.cos(math.pi * 6 / STEPS)) * 219)
    gone = (first.masks_before[BODY] & ~first.masks_after[BODY]).flatten()
    assert count == 131
    assert int(gone.sum()) > 100, "of 131 few grow again among 933"
    assert set(gone.nonzero().flatten().tolist()) <= set(smallest_of(first, BODY, count).tolist())

    early = Watched(method(share=0.8, every_steps=6, until=0.5))
    early.apply(mlp(), replace(bench, folder=bench.folder / "early"))
    moved = [i for i, s in enumerate(early.steps) if not torch.equal(s.masks_before[BODY], s.masks_after[BODY])]
    assert moved == [6], "the end is step 9"


@pytest.mark.parametrize("method", [RigL, SET])
def test_no_more_are_dropped_than_there_is_room_to_grow(method, bench: Bench) -> None:
    """Of 1152 weights 115 are not there: the first move may drop 115 of the smallest, not 0.9 of all."""
    watched = Watched(
        method(sparsity=0.1, distribution=Distribution.UNIFORM, share=0.9, every_steps=4, keep=(HEAD[:-7],))
    )
    watched.apply(mlp(), bench)
    seen = watched.steps[4]
    room = int((~seen.masks_before[BODY]).sum())
    assert room == 115
    gone = (seen.masks_before[BODY] & ~seen.masks_after[BODY]).flatten().nonzero().flatten().tolist()
    assert gone
    assert set(gone) <= set(smallest_of(seen, BODY, room).tolist())


@pytest.mark.parametrize("method", [StaticRandom, SET, RigL])
def test_distributions_and_kept_layers_are_those_that_were_given(method, bench: Bench) -> None:
    (made,) = method(sparsity=0.5, distribution=Distribution.UNIFORM).apply(mlp(), bench)
    assert [int((made.module.get_parameter(name) != 0).sum()) for name in (BODY, HEAD)] == [576, 8]
    (made,) = method(sparsity=0.5, keep=("classifier",)).apply(mlp(), replace(bench, folder=bench.folder / "kept"))
    assert [int((made.module.get_parameter(name) != 0).sum()) for name in (BODY, HEAD)] == [576, 16]
    assert made.sparsity is not None
    assert made.sparsity.parameters == (BODY,)


class Moments:
    """A sparse training of which the first moments before and after every step are kept, with the masks."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.steps = inner, list[tuple[Tensor, Tensor, Tensor, Tensor]]()
        self.name, self.version, self.trains, self.needs_teacher, self.rule = inner.name, 1, True, "", None

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        given = self.inner.contribute(model, bench)
        mask = given.callbacks[1].remembered[BODY]

        def moments(state: State) -> Tensor:
            found: Tensor | None = state.optimizer.state.get(state.model.get_parameter(BODY), {}).get("exp_avg")
            return torch.zeros(8, 144) if found is None else found.clone()

        def before(state: State) -> None:
            self._before = moments(state), mask.clone()

        def after(state: State) -> None:
            self.steps.append((*self._before, moments(state), mask.clone()))

        callbacks = (Callback(gradients_ready=before), *given.callbacks, Callback(step_taken=after))
        return replace(given, callbacks=callbacks)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        raise NotImplementedError


def test_a_move_forgets_what_is_known_of_grown_weights_and_of_no_others(bench: Bench) -> None:
    method = Moments(SET(sparsity=0.5, share=0.9, every_steps=2, until=1.0))
    train_together([method], mlp(), bench)  # type: ignore[list-item]
    known_before = 0
    for moments, mask, later, now in method.steps[2::2]:
        grown = now & ~mask
        assert grown.any()
        assert (later[grown] == 0).all()
        assert torch.equal(later[~grown], moments[~grown])
        assert (later[now & mask] != 0).any()
        known_before += int((moments[grown] != 0).sum())
    assert known_before > 0, "some were there once, were dropped and grow again"


@pytest.mark.parametrize(("left", "lost"), [(11, True), (12, False)])
def test_a_layer_has_collapsed_when_less_than_a_hundredth_is_left(left: int, lost: bool, bench: Bench) -> None:
    """11 and 12 of 1152 weights are 0.0095 and 0.0104."""
    model = mlp()
    contribution = DST(sparsity=0.5).contribute(model, bench)
    layer = model.module.features[1]
    (thresholds,) = layer.parametrizations.weight
    weight = torch.full((8, 144), 0.1)
    weight[0, :left] = 1.0
    layer.parametrizations.weight.original.data.copy_(weight)
    thresholds.threshold.data.fill_(0.5)
    assert int(masks_by({layer: thresholds})[0].sum()) == left
    (callback,) = contribution.callbacks
    callback.step_taken(State(model.module, torch.optim.SGD(model.module.parameters()), 0, 1, 1, 1))
    assert thresholds.threshold.tolist() == ([0.0] * 8 if lost else [0.5] * 8)
