"""DST: its estimator and its masks by hand, a penalty that ends, plain layers afterwards, resuming."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from galenic.compress.method import Bench, Contribution, train_together
from galenic.compress.sparsify.dst import DST, Penalty, Step, Thresholds, long_tail, masks_by, with_thresholds
from galenic.training.callbacks import Callback, State
from galenic.training.objective import Batch, Pass
from galenic.zoo.model import Model, removed_share, weights_hash
from sparse_training import CONFIG, STEPS, killed_twice, mlp, same_bits

QUICK = CONFIG.model_copy(update={"learning_rate": 0.03})
METHOD = DST(sparsity=0.5, alpha=0.05)
NAMES = ("features.1.weight", "classifier.weight")
PASS = Pass(torch.zeros(1, 2), {}, Batch(torch.zeros(1, 2), torch.zeros(1), np.zeros(1), 0))


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=3, folder=tmp_path / "here", training=QUICK)


def test_the_long_tail_by_hand() -> None:
    x = torch.tensor([0.0, 0.2, 0.4, 0.7, 1.0, 1.5])
    expected = torch.tensor([2.0, 1.2, 0.4, 0.4, 0.4, 0.0])
    torch.testing.assert_close(long_tail(x), expected)
    torch.testing.assert_close(long_tail(-x), expected)


def test_the_step_is_one_above_zero_and_its_derivative_the_long_tail() -> None:
    x = torch.tensor([-0.2, 0.0, 0.2, 0.7, 2.0], requires_grad=True)
    stepped = Step.apply(x)
    assert stepped.tolist() == [0, 0, 1, 1, 1]
    (stepped * torch.tensor([1.0, 2.0, 3.0, -1.0, 5.0])).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([1.2, 4.0, 3.6, -0.4, 0.0]))


def test_thresholds_mask_row_by_row() -> None:
    one = Thresholds(2)
    weight = torch.tensor([[[[0.5, -0.3]], [[0.1, 0.0]]], [[[0.5, -0.3]], [[0.1, -0.9]]]])
    assert one.mask(weight).flatten().tolist() == [True, True, True, False, True, True, True, True]
    one.threshold.data = torch.tensor([0.3, 0.6])
    assert one.mask(weight).flatten().tolist() == [True, False, False, False, False, False, False, True]
    assert torch.equal(one(weight), weight * one.mask(weight))


def test_weights_and_thresholds_get_their_gradients_by_hand() -> None:
    """With |w| - t = 0.1 and -0.1 the estimator is 1.6: d/dw = step + w 1.6 sign(w), d/dt = -(0.5 - 0.3) 1.6."""
    one = Thresholds(1)
    one.threshold.data.fill_(0.4)
    weight = torch.tensor([[0.5, -0.3]], requires_grad=True)
    one(weight).sum().backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[1.0 + 0.8, 0.48]]))
    torch.testing.assert_close(one.threshold.grad, torch.tensor([-0.32]))


def test_the_penalty_is_the_sum_of_falling_exponentials_until_enough_is_zero() -> None:
    layers = nn.Linear(2, 2), nn.Linear(2, 1)
    for layer, weight in zip(layers, ([[0.5, 2.0], [0.6, 3.0]], [[1.0, 0.7]]), strict=True):
        layer.weight.data = torch.tensor(weight)
    thresholds = {layer: with_thresholds(layer) for layer in layers}
    penalty = Penalty(thresholds, 0.2, 0.5)
    assert penalty.loss(PASS).item() == pytest.approx(0.2 * 3)
    thresholds[layers[0]].threshold.data[1] = math.log(2)  # 0.693: one of six goes
    loss = penalty.loss(PASS)
    assert loss.item() == pytest.approx(0.2 * 2.5)
    loss.backward()
    torch.testing.assert_close(thresholds[layers[0]].threshold.grad, torch.tensor([-0.2, -0.1]))
    thresholds[layers[1]].threshold.data[0] = 0.8
    assert penalty.loss(PASS).item() > 0, "two of six"
    thresholds[layers[0]].threshold.data[0] = 0.5
    assert penalty.loss(PASS).item() == 0, "three of six: what is as small as the threshold goes"


class Recording:
    """Shares the training and keeps the masks after each step and what was trained in the end."""

    name, version, trains, rule, needs_teacher = "recording", 1, True, None, ""

    def __init__(self) -> None:
        self.active: list[int] = []

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        layers = [model.module.features[1], model.module.classifier]

        def count(state: State) -> None:
            found = {layer: layer.parametrizations.weight[0] for layer in layers}
            self.active.append(sum(int(mask.sum()) for mask in masks_by(found)))

        def finish(trained: Model) -> Model:
            self.trained = {name: value.detach().clone() for name, value in trained.module.named_parameters()}
            return trained

        return Contribution(model, callbacks=(Callback(step_taken=count),), finish=finish)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        raise NotImplementedError


def masked(trained: dict[str, Tensor], layer: str) -> Tensor:
    kept = trained[f"{layer}.parametrizations.weight.original"]
    return kept * (kept.abs() > trained[f"{layer}.parametrizations.weight.0.threshold"][:, None])


def test_what_is_below_its_threshold_is_zero_and_layers_are_plain_again(bench: Bench) -> None:
    start, recording = mlp(), Recording()
    before = weights_hash(start)
    made = train_together([METHOD, recording], start, bench)
    assert weights_hash(start) == before, "the model given is left as it was"
    assert not any(parametrize.is_parametrized(part) for part in made.module.modules())
    shapes = {name: value.shape for name, value in start.module.state_dict().items()}
    assert {name: value.shape for name, value in made.module.state_dict().items()} == shapes
    for name, layer in zip(NAMES, ("features.1", "classifier"), strict=True):
        weight = made.module.get_parameter(name)
        assert weight.requires_grad
        assert torch.equal(weight, masked(recording.trained, layer))
    thresholds = recording.trained["features.1.parametrizations.weight.0.threshold"]
    assert (thresholds > 0.1).any()
    assert len(set(thresholds.tolist())) > 1, "every channel has its own"
    assert made.sparsity.parameters == NAMES
    assert removed_share(made) > 0.3
    reached = f"DST reached a sparsity of {removed_share(made):.3f}; 0.5 was asked for"
    assert made.sparsity.notes == (reached,)


def test_it_counts_dense_gradients_in_every_step(bench: Bench) -> None:
    recording = Recording()
    made = train_together([METHOD, recording], mlp(), bench)
    assert len(recording.active) == STEPS
    assert recording.active[-1] < 0.8 * 1168
    expected = sum(2 * active + 1168 for active in recording.active) / (STEPS * 3 * 1168)
    assert made.sparsity.training_flops == pytest.approx(expected)


def test_a_stronger_penalty_removes_more_but_ends_where_it_was_told_to(bench: Bench) -> None:
    made = {
        (sparsity, alpha): removed_share(
            DST(sparsity=sparsity, alpha=alpha).apply(
                mlp(), replace(bench, folder=bench.folder / f"{sparsity}-{alpha}")
            )[0]
        )
        for sparsity, alpha in ((0.2, 1.0), (0.9, 1.0), (0.9, 1e-5))
    }
    assert made[0.9, 1.0] > made[0.9, 1e-5] + 0.2
    assert made[0.9, 1.0] > made[0.2, 1.0] + 0.2


def test_a_layer_that_collapsed_gets_thresholds_of_zero(bench: Bench) -> None:
    model = mlp()
    contribution = METHOD.contribute(model, bench)
    lost, whole = model.module.features[1], model.module.classifier
    lost.parametrizations.weight[0].threshold.data.fill_(10.0)
    whole.parametrizations.weight[0].threshold.data.fill_(0.01)
    (callback,) = contribution.callbacks
    state = State(model.module, torch.optim.SGD(model.module.parameters()), 0, 1, 1, 1)
    callback.step_taken(state)
    assert lost.parametrizations.weight[0].threshold.tolist() == [0.0] * 8
    assert whole.parametrizations.weight[0].threshold.tolist() == pytest.approx([0.01] * 2)
    trained = lost.parametrizations.weight.original
    lost.parametrizations.weight[0].threshold.data.copy_(torch.full((8,), 10.0).index_fill(0, torch.tensor([0]), 0.0))
    callback.step_taken(state)
    assert masks_by({lost: lost.parametrizations.weight[0]})[0].sum() == (trained[0] != 0).sum() > 0, (
        "an eighth is left"
    )


def test_layers_that_are_kept_have_no_thresholds(bench: Bench) -> None:
    (made,) = DST(sparsity=0.5, alpha=0.05, keep=("classifier",)).apply(mlp(), bench)
    assert (made.module.classifier.weight != 0).all()
    assert made.sparsity.parameters == ("features.1.weight",)
    assert made.lineage == ("mlp", "dst")


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_a_training_that_is_killed_goes_on_to_the_same_model(ema: float, bench: Bench) -> None:
    bench = replace(bench, training=QUICK.model_copy(update={"ema_decay": ema}))
    (whole,) = METHOD.apply(mlp(), replace(bench, folder=bench.folder / "whole"))
    made = killed_twice(METHOD, bench)
    assert same_bits(whole, made)
    assert made.sparsity == whole.sparsity
    assert removed_share(made) > 0.3
