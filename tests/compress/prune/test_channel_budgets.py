"""Channel pruning as a method: budgets of MACs, size and time are met by hand-counted nets; what cannot be is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from galenic.compress.method import Bench, CostBound, Method, ModelBound, TrainedMethod
from galenic.compress.prune.channels import MOST, ChannelPruning, within
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import BudgetMissed, ExitCode, ModelError, RecipeError
from galenic.record.measurement import Measurement
from galenic.zoo.build import build
from galenic.zoo.macs import count_macs
from galenic.zoo.model import Model, parameters, weights_hash


def mlp() -> Model:
    """11,328 MACs and 11,426 parameters.

    Of 64 and 32 channels multiples of 8 are left: up to a ratio of 1/8 56 and 24 (9,456 MACs), up to 1/4 48 and 24
    (8,112), up to 3/8 40 and 16 (6,432 MACs, 6,490 parameters), up to 1/2 32 and 16 (5,152 and 5,202).
    """
    return build("mlp", (1, 12, 12), 2, options={"hidden": [64, 32]})


def widths(model: Model) -> tuple[int, int]:
    return model.module.features[1].out_features, model.module.features[3].out_features


def milliseconds(model: Model) -> Measurement:
    """As if 1,000 MACs took one."""
    value = count_macs(model) / 1000
    return Measurement(value=value, unit="ms", low=value, high=value, n=1)


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=3, folder=tmp_path, cost=milliseconds)


def test_a_ratio_is_taken_from_a_copy(bench: Bench) -> None:
    start = mlp()
    before = weights_hash(start)
    (made,) = ChannelPruning(ratio=0.3).apply(start, replace(bench, cost=None))
    assert widths(made) == (40, 16)
    assert made.lineage == ("mlp", "channels")
    assert made.module(torch.zeros(3, 1, 12, 12)).shape == (3, 2)
    assert (weights_hash(start), widths(start), start.spec.history, start.lineage) == (before, (64, 32), (), ("mlp",))


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({"macs_ratio": 0.5}, (32, 16)),
        ({"macs_ratio": 0.57}, (40, 16)),
        ({"size_ratio": 0.6}, (40, 16)),
        ({"size_ratio": 0.5}, (32, 16)),
        ({"latency_ms": 6.5}, (40, 16)),
        ({"latency_ms": 6.4}, (32, 16)),
        ({"latency_ms": 8.2}, (48, 24)),
    ],
    ids=str,
)
def test_a_budget_is_met_with_the_least_that_goes(budget, expected: tuple[int, int], bench: Bench) -> None:
    start = mlp()
    (made,) = ChannelPruning(**budget).apply(start, bench)
    assert widths(made) == expected
    assert count_macs(made) <= budget.get("macs_ratio", 1) * count_macs(start)
    assert parameters(made) <= budget.get("size_ratio", 1) * parameters(start)
    assert milliseconds(made).value <= budget.get("latency_ms", 100)
    assert made.lineage == ("mlp", "channels")
    assert len(made.spec.history) == 1, "it was pruned once, from the model that was given"


def test_a_global_budget_is_met_too(bench: Bench) -> None:
    (made,) = ChannelPruning(macs_ratio=0.4, scope="global", score="l1", round_to=4).apply(mlp(), bench)
    assert 0.25 * 11_328 < count_macs(made) <= 0.4 * 11_328


@pytest.mark.parametrize(
    ("budget", "nearest"),
    [({"latency_ms": 0.5}, "1.232 ms"), ({"macs_ratio": 0.1}, "1232 MACs"), ({"size_ratio": 0.1}, "1250 parameters")],
    ids=str,
)
def test_a_budget_that_cannot_be_met_says_what_is_nearest(budget, nearest: str, bench: Bench) -> None:
    """8 channels of each: 144 * 8 + 64 + 16 MACs, and 18 biases."""
    with pytest.raises(BudgetMissed) as caught:
        ChannelPruning(**budget).apply(mlp(), bench)
    assert caught.value.exit_code is ExitCode.BUDGET
    assert f"with {MOST:g} of the channels gone it is {nearest}" in caught.value.given
    assert f"raise it to {nearest}" in caught.value.todo


def test_the_least_ratio_within_a_budget_is_found_by_halving() -> None:
    """Of a cost that is 100 less the share that is gone; up to 0.3 nothing goes at all."""
    tried: list[float] = []

    def pruned(ratio: float) -> float:
        tried.append(ratio)
        if ratio < 0.3:
            raise ModelError("so little", "more", "give more")
        return ratio

    def cost(ratio: float) -> float:
        return 100 - 100 * ratio

    found: float = within(0.0, 50, "ms", cost, pruned)  # type: ignore[assignment, arg-type]
    assert 0.5 <= found <= 0.5 + MOST / 2**7
    assert (tried[0], len(tried)) == (MOST, 8)
    found = within(0.0, 90, "ms", cost, pruned)  # type: ignore[assignment, arg-type]
    assert 0.3 <= found <= 0.3 + MOST / 2**7
    with pytest.raises(BudgetMissed, match="it is 5 ms"):
        within(0.0, 4.9, "ms", cost, pruned)  # type: ignore[arg-type]


def test_a_model_that_is_within_its_budget_loses_nothing(bench: Bench) -> None:
    start = mlp()
    (made,) = ChannelPruning(latency_ms=100).apply(start, replace(bench, cost=milliseconds))
    assert (made.spec.history, made.lineage[-1]) == ((), "channels")
    assert weights_hash(made) == weights_hash(start)


def test_a_budget_without_rounding_leaves_every_layer_a_channel(bench: Bench) -> None:
    start = build("resnet8", (1, 12, 12), 2)
    method = ChannelPruning(macs_ratio=0.5, round_to=1)
    method.refuse_model(start)
    (made,) = method.apply(start, bench)
    assert 0.45 * count_macs(start) < count_macs(made) <= 0.5 * count_macs(start)


def test_a_score_that_judges_nothing_here_is_refused_before_any_work() -> None:
    with pytest.raises(ModelError, match="in which batch_norm judges no channel"):
        ChannelPruning(ratio=0.5, score="batch_norm").refuse_model(mlp())


def test_a_latency_that_nothing_measures_is_refused(bench: Bench) -> None:
    with pytest.raises(RecipeError, match="latency_ms = 6 where nothing measures latency"):
        ChannelPruning(latency_ms=6).apply(mlp(), replace(bench, cost=None))
    assert ChannelPruning(latency_ms=6).measures_cost
    for other in ({"ratio": 0.5}, {"macs_ratio": 0.5}, {"size_ratio": 0.5}):
        assert not ChannelPruning(**other).measures_cost


def test_exactly_one_budget_is_given() -> None:
    budgets = {"ratio": 0.5, "macs_ratio": 0.5, "size_ratio": 0.5, "latency_ms": 2.0}
    for name, value in budgets.items():
        assert getattr(ChannelPruning(**{name: value}), name) == value
        for other in budgets.keys() - {name}:
            with pytest.raises(ValidationError, match="exactly one of ratio"):
                ChannelPruning(**{name: value, other: budgets[other]})
        for wrong in (0, -1, *((1,) if name != "latency_ms" else ())):
            with pytest.raises(ValidationError, match=name):
                ChannelPruning(**{name: wrong})
    with pytest.raises(ValidationError, match="exactly one of ratio"):
        ChannelPruning()
    with pytest.raises(ValidationError, match="round_to"):
        ChannelPruning(ratio=0.5, round_to=0)


def test_it_is_a_method_that_is_asked_about_its_net_and_its_cost() -> None:
    method = ChannelPruning(ratio=0.5)
    assert isinstance(method, Method)
    assert isinstance(method, ModelBound)
    assert isinstance(method, CostBound)
    assert not isinstance(method, TrainedMethod)
    assert ChannelPruning.model_validate(method.model_dump(mode="json")) == method
    method.refuse_model(mlp())
    with pytest.raises(ModelError, match="keep = 'head'"):
        ChannelPruning(ratio=0.5, keep=("head",)).refuse_model(mlp())
    with pytest.raises(ModelError, match="nothing goes"):
        ChannelPruning(macs_ratio=0.5, round_to=64).refuse_model(mlp())


def test_taylor_scores_are_those_of_gradients_on_training_rows(bench: Bench) -> None:
    """Of one hidden layer: |w dL/dw| summed over what comes in and what goes out."""
    model = build("mlp", (1, 12, 12), 2, options={"hidden": [16]})
    first, last = model.module.features[1], model.module.classifier
    train = bench.task.train
    rows = torch.from_numpy(to_inputs(bench.task.preprocessing, train.inputs))
    loss = F.cross_entropy(model.module(rows), torch.from_numpy(train.labels).long())
    inner, outer = torch.autograd.grad(loss, (first.weight, last.weight))
    worth = (first.weight * inner).abs().sum(1) + (last.weight * outer).abs().sum(0)
    expected = sorted(worth.argsort()[:8].tolist())
    (made,) = ChannelPruning(ratio=0.5, score="taylor").apply(model, bench)
    assert made.spec.history[0]["groups"] == [["features.1", True, expected]]
    (other,) = ChannelPruning(ratio=0.5).apply(model, bench)
    assert other.spec.history[0]["groups"] != made.spec.history[0]["groups"]
    assert all(parameter.grad is None for parameter in model.module.parameters())


def test_the_random_control_follows_from_the_seed(bench: Bench) -> None:
    made = [ChannelPruning(ratio=0.5, score="random").apply(mlp(), replace(bench, seed=s))[0] for s in (1, 1, 2)]
    assert made[0].spec.history == made[1].spec.history != made[2].spec.history
