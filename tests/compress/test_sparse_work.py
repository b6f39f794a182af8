"""Work of sparse steps by hand: two dense layers of 4 * 3 and 3 * 2 products, and one that has no mask."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from galenic.compress.sparse_work import Work
from galenic.record.model import ModelSpec
from galenic.training.callbacks import State
from galenic.zoo.model import Model

NAMES = ["0.weight", "2.weight"]


def model(last: bool = False) -> Model:
    layers = [nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), *([nn.Linear(2, 5)] if last else [])]
    spec = ModelSpec(architecture="net", input_shape=(4,), outputs=5 if last else 2)
    return Model(nn.Sequential(*layers).eval(), spec)


def masks(first: int, second: int) -> dict[str, torch.Tensor]:
    """So many weights of each layer."""
    return {
        "0.weight": (torch.arange(12) < first).view(3, 4),
        "2.weight": (torch.arange(6) < second).view(2, 3),
    }


def state() -> State:
    net = nn.Linear(1, 1)
    return State(net, torch.optim.SGD(net.parameters()), 0, 0, 1, 1)


def test_a_sparse_step_is_three_times_what_is_left() -> None:
    work = Work(model(), NAMES)
    assert work.share == 1.0
    work.add(masks(3, 6))
    assert work.share == pytest.approx(3 * (3 + 6) / (3 * 18))
    work.add(masks(12, 3))
    assert work.share == pytest.approx((9 + 15) / (2 * 18))


def test_layers_without_a_mask_are_dense() -> None:
    work = Work(model(last=True), NAMES)
    work.add(masks(6, 3))
    assert work.share == pytest.approx((6 + 3 + 10) / 28)
    alone = Work(model(), ["2.weight"])
    alone.add({"2.weight": masks(0, 3)["2.weight"]})
    assert alone.share == pytest.approx((12 + 3) / 18)


def test_a_convolution_counts_at_all_its_positions() -> None:
    net = nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(20, 1))
    one = Model(net.eval(), ModelSpec(architecture="net", input_shape=(1, 10), outputs=1))
    work = Work(one, ["0.weight"])
    work.add({"0.weight": torch.tensor([[[True, False, False]], [[True, True, False]]])})
    assert work.share == pytest.approx((60 * 3 / 6 + 20) / (60 + 20))


def test_a_step_that_looks_at_dense_gradients_computes_them_for_all_weights() -> None:
    work = Work(model(), NAMES)
    work.add(masks(3, 3), dense_gradient=True)
    assert work.share == pytest.approx((2 * 6 + 18) / (3 * 18))
    work.add(masks(3, 3))
    assert work.share == pytest.approx((2 * 6 + 18 + 3 * 6) / (2 * 3 * 18))


def test_the_count_of_a_resumed_training_goes_on() -> None:
    first = Work(model(), NAMES)
    counting = first.counting(masks(3, 6))
    for _ in range(3):
        counting.gradients_ready(state())
    assert first.share == pytest.approx(0.5)
    second = Work(model(), NAMES)
    counting = second.counting(masks(0, 0))
    (name,) = counting.remembered
    counting.remembered[name].copy_(first.remembered[name])  # as a checkpoint does
    counting.gradients_ready(state())
    assert second.share == pytest.approx(3 * 9 / (4 * 18))


def test_masks_that_change_are_counted_as_they_are() -> None:
    work, changing = Work(model(), NAMES), masks(12, 6)
    counting = work.counting(changing)
    counting.gradients_ready(state())
    assert work.share == 1.0
    changing["0.weight"].fill_(False)
    counting.gradients_ready(state())
    assert work.share == pytest.approx((18 + 6) / 36)
