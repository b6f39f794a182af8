"""Channel pruning: which channels go and how many, by hand; the smaller net answers as the dense one without them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from galenic.compress.prune.channels import (
    ChannelScope,
    ChannelScore,
    Choice,
    coupled,
    prune_channels,
    removals,
)
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.zoo.build import build
from galenic.zoo.model import Model, weights_hash
from galenic.zoo.saving import load_model, save_model
from galenic.zoo.surgery import dependencies

ANY = Choice(round_to=1)


def as_model(module: nn.Module, shape: tuple[int, ...], outputs: int = 2) -> Model:
    return Model(module.eval(), ModelSpec(architecture="made here", input_shape=shape, outputs=outputs), ("made here",))


def small() -> Model:
    """Two convolutions and a dense layer that one can compute with."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(3, 2),
    )  # fmt: skip
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([2.5, -1.0, 3.0, 0.5]).view(4, 1, 1, 1))
        net[0].bias.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        net[1].weight.copy_(torch.tensor([0.4, 0.1, 2.0, -1.5]))
        net[1].bias.copy_(torch.tensor([0.5, 0.6, 0.7, 0.8]))
        net[1].running_mean.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
        rows = torch.tensor([[1.0, 1.0, 0.0, 1.5], [-1.0, -0.5, 0.0, -1.5], [1.0, 1.5, 0.2, 1.0]])
        net[3].weight.copy_(rows[:, :, None, None])
        net[6].weight.copy_(torch.tensor([[1.0, 0.2, -1.0], [2.0, 0.5, 0.1]]))
    return as_model(net, (1, 2, 2))


def nothing(module: nn.Module) -> None:
    """No gradients are asked for."""


def by_hand(module: nn.Module) -> None:
    """Gradients for which |w dL/dw| of the first layer are 2.5, 1, 3 and 0.5, and of its readers 0, 6, 0 and 40."""
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    module[0].weight.grad.fill_(1.0)
    module[3].weight.grad[:, 1] = -2.0
    module[3].weight.grad[:, 3] = 10.0
    module[6].weight.grad[:, 2] = 10.0


SCORES = {
    # |w| of its own, of the batch norm, of the readers: 2.5 + 0.4 + 3, 1 + 0.1 + 3, 3 + 2 + 0.2, 0.5 + 1.5 + 4
    ChannelScore.L1: ([5.9, 4.1, 5.2, 6.0], [3.5 + 3, 3 + 0.7, 3.7 + 1.1]),
    ChannelScore.L2: ([6.25 + 0.16 + 3, 1 + 0.01 + 3.5, 9 + 4 + 0.04, 0.25 + 2.25 + 5.5], [9.25, 3.79, 5.3]),
    ChannelScore.TAYLOR: ([2.5, 7.0, 3.0, 40.5], [17.0, 16.0, 13.0 + 11.0]),
    ChannelScore.BATCH_NORM: ([0.4, 0.1, 2.0, 1.5], None),
}
GONE = {
    ChannelScore.L1: ([1, 2], [1, 2]),
    ChannelScore.L2: ([1, 3], [1, 2]),
    ChannelScore.TAYLOR: ([0, 2], [0, 1]),
    ChannelScore.BATCH_NORM: ([0, 1], None),
}


@pytest.mark.parametrize("score", list(SCORES))
def test_what_channels_are_worth_by_hand(score: ChannelScore) -> None:
    """In proportion: the scores of a group are divided by their mean."""
    model = small()
    found = coupled(model, dependencies(model.module, (1, 2, 2)), Choice(score), by_hand, 0)
    expected = dict(zip(("0", "3"), SCORES[score], strict=True))
    assert {one.layer for one in found} == {layer for layer, values in expected.items() if values}
    for one in found:
        values = torch.tensor(expected[one.layer])
        torch.testing.assert_close(one.scores / one.scores.mean(), values / values.mean())
    assert all(parameter.grad is None for parameter in model.module.parameters())


@pytest.mark.parametrize("score", list(GONE))
def test_the_channels_that_are_worth_least_go_with_all_that_hangs_on_them(score: ChannelScore) -> None:
    model = small()
    before = weights_hash(model)
    made = prune_channels(model, 0.5, Choice(score, round_to=1), by_hand)
    assert weights_hash(model) == before, "the model given is left as it was"
    assert model.spec.history == ()
    first, second = GONE[score]
    groups = [["0", True, first], *([["3", True, second]] if second else [])]
    (change,) = made.spec.history
    assert (change["change"], sorted(change["groups"])) == ("channels", groups)
    a, b = ([i for i in range(size) if i not in (gone or [])] for size, gone in ((4, first), (3, second)))
    old, new = model.module, made.module
    assert torch.equal(new[0].weight, old[0].weight[a])
    assert torch.equal(new[0].bias, old[0].bias[a])
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(new[1], name), getattr(old[1], name)[a])
    assert torch.equal(new[3].weight, old[3].weight[b][:, a])
    assert torch.equal(new[6].weight, old[6].weight[:, b])
    assert torch.equal(new[6].bias, old[6].bias)


@pytest.mark.parametrize(
    ("ratio", "round_to", "expected"),
    [(0.3, 1, [3, 2]), (0.7, 1, [7, 3]), (0.3, 4, [6, 0]), (0.1, 2, [2, 2]), (0.9, 2, [8, 2]), (0.01, 8, [2, 0])],
)
def test_how_many_go_of_every_layer(ratio: float, round_to: int, expected: list[int]) -> None:
    """Of 10 and 4 channels: ceil(ratio n), then what is left is rounded down to a multiple, one multiple at least."""
    scores = [torch.rand(10), torch.rand(4)]
    assert removals(scores, ratio, Choice(round_to=round_to)) == expected


def test_a_ratio_that_is_rounded_up_in_floating_point_takes_no_more() -> None:
    assert 0.07 * 100 > 7
    for scope in ChannelScope:
        assert removals([torch.arange(100.0)], 0.07, Choice(scope=scope, round_to=1)) == [7]


def test_how_many_go_of_the_whole_net() -> None:
    """By their means of 3 and 20 the scores are 1/3 2/3 1 2 and 1/2 1/2 1 1 3/2 3/2."""
    scores = [torch.tensor([6.0, 1.0, 2.0, 3.0]), torch.tensor([10.0, 30.0, 10.0, 20.0, 30.0, 20.0])]
    choice = Choice(scope=ChannelScope.GLOBAL, round_to=1)
    assert removals(scores, 0.1, choice) == [1, 0]
    assert removals(scores, 0.2, choice) == [1, 2], "equal scores go together"
    assert removals(scores, 0.4, choice) == [2, 2]
    assert removals(scores, 0.7, choice) == [3, 4]
    assert removals(scores, 0.1, replace(choice, round_to=3)) == [1, 0]
    assert removals(scores, 0.1, replace(choice, round_to=4)) == [0, 2], "6 is no multiple"


def test_a_layer_is_not_lost_whole() -> None:
    scores = [torch.ones(3), torch.tensor([0.0, 0.0, 0.0, 400.0])]
    choice = Choice(scope=ChannelScope.GLOBAL, round_to=1)
    with pytest.raises(ModelError, match="a ratio that takes all 3 channels of a layer"):
        removals(scores, 6 / 7, choice)
    assert removals(scores, 6 / 7, replace(choice, round_to=2)) == [1, 2]
    with pytest.raises(ModelError, match="takes all 3 channels"):
        prune_channels(small(), 0.7, ANY, nothing)


def test_random_channels_follow_from_the_seed_alone() -> None:
    model, choice = build("mlp", (4,), 2, options={"hidden": [32]}), Choice(ChannelScore.RANDOM)
    state = torch.get_rng_state()
    histories = [prune_channels(model, 0.5, choice, nothing, seed).spec.history for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert histories[0] == histories[1] != histories[2]
    assert len(histories[2][0]["groups"][0][2]) == 16


def resnet(outputs: int = 10) -> Model:
    """With batch norms that do something."""
    model = build("resnet8", (3, 32, 32), outputs)
    generator = torch.Generator().manual_seed(1)
    for part in model.module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
            part.weight.data.uniform_(0.5, 2.0, generator=generator)
            part.bias.data.normal_(generator=generator)
    return model


NORMS = [
    {"stem.0": "stem.1", "stages.0.0.conv2": "stages.0.0.norm2"},
    *({f"stages.{i}.0.conv1": f"stages.{i}.0.norm1"} for i in range(3)),
    *({f"stages.{i}.0.conv2": f"stages.{i}.0.norm2", f"stages.{i}.0.shortcut.0": f"stages.{i}.0.shortcut.1"}
      for i in (1, 2)),
]  # fmt: skip
"""Convolutions of a resnet8 that are added up, and so lose the same channels, with their batch norms."""


@pytest.fixture(scope="module")
def pruned() -> tuple[Model, Model]:
    model = resnet()
    return model, prune_channels(model, 0.4, Choice(), nothing)


def test_channels_that_are_added_up_fall_together(pruned: tuple[Model, Model]) -> None:
    """Of 16, 32 and 64 at least 0.4 go, so that multiples of 8 are left: 8, 16 and 32."""
    model, made = pruned
    widths = {path: part.out_channels for path, part in made.module.named_modules() if isinstance(part, nn.Conv2d)}
    assert {path: width for path, width in widths.items() if path.endswith(("conv2", "stem.0", "shortcut.0"))} == {
        "stem.0": 8, "stages.0.0.conv2": 8, "stages.1.0.conv2": 16, "stages.1.0.shortcut.0": 16,
        "stages.2.0.conv2": 32, "stages.2.0.shortcut.0": 32,
    }  # fmt: skip
    assert len(made.spec.history[0]["groups"]) == len(NORMS)
    gone = {layer: set(indices) for layer, _, indices in made.spec.history[0]["groups"]}
    stem = [i for i in range(16) if i not in (gone.get("stem.0") or gone["stages.0.0.conv2"])]
    inner = [i for i in range(16) if i not in gone["stages.0.0.conv1"]]
    old, new = model.module, made.module
    assert torch.equal(new.stem[0].weight, old.stem[0].weight[stem])
    assert torch.equal(new.stages[0][0].conv2.weight, old.stages[0][0].conv2.weight[stem][:, inner])
    assert (new.classifier.in_features, new.classifier.out_features) == (32, 10)


def test_the_smaller_net_answers_as_the_dense_one_whose_channels_are_silent(pruned: tuple[Model, Model]) -> None:
    model, made = pruned
    silent = deepcopy(model.module)
    for layer, _, gone in made.spec.history[0]["groups"]:
        (norms,) = (one for one in NORMS if layer in one)
        for conv, norm in norms.items():
            silent.get_submodule(conv).weight.data[gone] = 0
            silent.get_submodule(norm).weight.data[gone] = 0
            silent.get_submodule(norm).bias.data[gone] = 0
    rows = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(made.module(rows), silent(rows), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(made.module(rows), model.module(rows), atol=1e-2)


def test_a_pruned_model_comes_back_bit_for_bit_also_when_pruned_again(pruned: tuple[Model, Model], tmp_path) -> None:
    _, once = pruned
    twice = prune_channels(once, 0.3, Choice(ChannelScore.L1, round_to=4), nothing)
    assert twice.spec.history[0] == once.spec.history[0]
    assert len(twice.spec.history) == 2
    rows = torch.randn(2, 3, 32, 32)
    for name, model in (("once", once), ("twice", twice)):
        loaded = load_model(save_model(model, tmp_path / name))
        assert [group[2] for group in loaded.spec.history[-1]["groups"]] == [
            group[2] for group in model.spec.history[-1]["groups"]
        ]
        first, second = model.module.state_dict(), loaded.module.state_dict()
        assert list(first) == list(second)
        assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())
        with torch.no_grad():
            assert torch.equal(loaded.module(rows), model.module(rows))
    again = prune_channels(load_model(tmp_path / "once"), 0.3, Choice(ChannelScore.L1, round_to=4), nothing)
    assert weights_hash(again) == weights_hash(twice)


def test_layers_that_are_kept_keep_their_channels_and_those_coupled_with_them() -> None:
    made = prune_channels(resnet(), 0.5, Choice(keep=("stem", "stages.1.0.conv[12]")), nothing)
    pruned = {layer for layer, _, _ in made.spec.history[0]["groups"]}
    last = {"stages.2.0.conv2", "stages.2.0.shortcut.0"}
    assert pruned - last == {"stages.0.0.conv1", "stages.2.0.conv1"}
    assert len(pruned & last) == 1
    assert made.module.stages[0][0].conv2.out_channels == 16
    with pytest.raises(ModelError, match="keep = 'trunk', which no layer of made here matches"):
        prune_channels(small(), 0.5, Choice(keep=("3", "trunk")), nothing)


def test_the_last_layer_keeps_its_outputs_also_where_the_net_ends_in_a_convolution() -> None:
    net = nn.Sequential(nn.Conv1d(1, 16, 1), nn.ReLU(), nn.Conv1d(16, 16, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    made = prune_channels(as_model(net, (1, 4), 16), 0.5, Choice(), nothing)
    assert made.module[0].weight.shape == (8, 1, 1)
    assert made.module[2].weight.shape == (16, 8, 1)


def test_depthwise_layers_follow_and_others_in_groups_are_left_alone() -> None:
    def net(groups: int) -> Model:
        torch.manual_seed(0)
        layers = nn.Conv1d(1, 16, 1), nn.Conv1d(16, 16, 3, padding=1, groups=groups), nn.Conv1d(16, 8, 1)
        return as_model(nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2)), (1, 6))

    made = prune_channels(net(16), 0.25, Choice(round_to=4), nothing)
    assert [one.weight.shape for one in made.module[:3]] == [(12, 1, 1), (12, 1, 3), (4, 12, 1)]
    made = prune_channels(net(4), 0.25, Choice(round_to=4), nothing)
    assert [one.weight.shape for one in made.module[:3]] == [(16, 1, 1), (16, 4, 3), (4, 16, 1)]
