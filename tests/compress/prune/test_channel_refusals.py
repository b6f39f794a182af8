"""What channel pruning refuses: nets that cannot be traced or count on their channels, text, integers, nothing to lose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from galenic.compress.prune.channels import ChannelPruning, Choice, prune_channels
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import QuantRule, QuantSpec
from galenic.zoo.model import Model


def as_model(module: nn.Module, shape: tuple[int, ...], outputs: int = 2) -> Model:
    return Model(module.eval(), ModelSpec(architecture="made here", input_shape=shape, outputs=outputs), ("made here",))


def plain() -> Model:
    return as_model(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), (4,))


def nothing(module: nn.Module) -> None:
    """No gradients are asked for."""


class Through(nn.Module):
    def __init__(self, through: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.through = nn.Linear(4, 16), nn.Linear(16, 2), through

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.through(self.first(x)))


@pytest.mark.parametrize(
    "through",
    [
        lambda x: torch.from_numpy(x.numpy() + 1),
        lambda x: torch.from_numpy(x.detach().numpy() + 1),
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x + len(x[x > 0].tolist()),
    ],
    ids=["numpy", "detached", "branch", "values"],
)
def test_a_net_that_cannot_be_traced_is_refused_with_what_to_do(through) -> None:
    with pytest.raises(ModelError, match="trace") as caught:
        prune_channels(as_model(Through(through), (4,)), 0.5, Choice(), nothing)
    assert len(caught.value.todo) > 20
    assert caught.value.todo in str(caught.value)


def test_a_net_that_counts_on_its_channels_is_refused() -> None:
    counting = Through(lambda x: x.view(-1, 4, 4).flip(1).reshape(-1, 16))
    with pytest.raises(ModelError, match=r"keep = \[\.\.\.\]"):
        prune_channels(as_model(counting, (4,)), 0.5, Choice(), nothing)


def test_models_that_have_nothing_to_lose_or_are_not_plain_are_refused() -> None:
    with pytest.raises(ModelError, match=r"0\.5 of the channels of made here in multiples of 8: nothing goes"):
        prune_channels(plain(), 0.5, Choice(), nothing)
    quantized = replace(plain(), quant=QuantSpec(rule=QuantRule()))
    with pytest.raises(ModelError, match="of a model that is quantized"):
        prune_channels(quantized, 0.5, Choice(round_to=1), nothing)
    method, text = ChannelPruning(ratio=0.5, round_to=1), plain()
    text.module.vocabulary = 10
    for refuse in (method.refuse_model, lambda model: method.apply(model, None)):
        with pytest.raises(ModelError, match="channel pruning of made here, a text net"):
            refuse(text)
    with pytest.raises(ModelError, match="channels of a model that is quantized"):
        method.refuse_model(quantized)
    method.refuse_model(plain())
