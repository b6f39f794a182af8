"""TinyBERT's hidden loss by its formula in float64, padding, and what is refused before any work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.distill.hidden_states import HiddenStates, HiddenStatesTerm, hidden_loss, token_pairs
from galenic.compress.distill.pairs import Pair
from galenic.compress.distill.suggest import LayerPair
from galenic.record.errors import ModelError
from galenic.training.objective import Batch, Pass

MASK = np.array([[1, 1, 1], [1, 0, 0]])


def test_it_is_the_formula_in_float64() -> None:
    random = np.random.default_rng(0)
    student, teacher, width = random.normal(size=(2, 3, 4)), random.normal(size=(2, 3, 5)), random.normal(size=(4, 5))
    squares = [(student[b, t] @ width - teacher[b, t]) ** 2 for b in range(2) for t in range(3) if MASK[b, t]]
    found = hidden_loss(torch.from_numpy(student @ width), torch.from_numpy(teacher), torch.from_numpy(MASK))
    assert found.item() == pytest.approx(np.mean(squares), rel=1e-12)


def test_by_hand_and_what_stands_in_padding_is_of_no_matter() -> None:
    student = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    teacher = torch.tensor([[[0.0, 4.0], [9.0, 9.0]]])
    assert hidden_loss(student, teacher, torch.tensor([[1, 0]])).item() == 2.5
    assert hidden_loss(student, teacher, torch.tensor([[1, 1]])).item() == (2.5 + 81) / 2


class Given:
    """A teacher of two layers that says what it is told to say."""

    def of(self, batch: Batch) -> list[torch.Tensor]:
        return [torch.ones(2, 3, 4), torch.full((2, 3, 5), 2.0)]


def test_projections_are_trained_only_where_widths_differ_and_pairs_are_weighted() -> None:
    pairs = [LayerPair("a", "x", (3, 4), (3, 4), False), LayerPair("b", "y", (3, 2), (3, 5), True)]
    term = HiddenStatesTerm(pairs, (2.0, 0.5), Given(), seed=0)
    assert term.own is not None
    assert [tuple(weight.shape) for weight in term.own.parameters()] == [(5, 2)]
    inputs = {"input_ids": torch.from_numpy(MASK), "attention_mask": torch.from_numpy(MASK)}
    batch = Batch(inputs, torch.zeros(2), np.arange(2), 0)
    layers = {"a": torch.zeros(2, 3, 4), "b": torch.zeros(2, 3, 2)}
    assert term.loss(Pass(torch.zeros(2, 2), layers, batch)).item() == 2.0 * 1 + 0.5 * 4
    again = HiddenStatesTerm(pairs, (2.0, 0.5), Given(), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(term.own.parameters(), again.own.parameters(), strict=True))


class Net(nn.Module):
    """Blocks on the columns of an image as tokens."""

    def __init__(self, blocks: int, tokens: int = 12) -> None:
        super().__init__()
        self.tokens = tokens
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), nn.Tanh()) for _ in range(blocks))
        self.head = nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, 0, : self.tokens]
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.head(x.mean(dim=1))
        return logits


IMAGES = torch.zeros(2, 1, 12, 12)


def test_blocks_go_together_by_depth() -> None:
    pairs = token_pairs(Net(2), Net(4), (), IMAGES)
    assert [(pair.student, pair.teacher) for pair in pairs] == [("blocks.0", "blocks.1"), ("blocks.1", "blocks.3")]


@pytest.mark.parametrize(
    ("student", "named", "told"),
    [
        (Net(2, tokens=6), (), "the same tokens"),
        (Net(2), (Pair(student="head", teacher="blocks.1"),), "two layers that return"),
        (Net(2), (Pair(student="blocks", teacher="blocks.1"),), "not called"),
        (Net(2), (Pair(student="blocks.7", teacher="blocks.1"),), "blocks.1"),
        (nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), (), "no stages of one kind"),
    ],
)
def test_what_cannot_be_compared_is_refused(student: nn.Module, named: tuple[Pair, ...], told: str) -> None:
    with pytest.raises(ModelError) as caught:
        token_pairs(student, Net(4), named, IMAGES)
    assert told in str(caught.value)


def test_the_config_is_checked() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        HiddenStates(weight=0)
