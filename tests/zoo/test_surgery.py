"""Changes of structure are done again from their history, in order; what is not known is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from galenic.record.errors import ModelError
from galenic.zoo.build import build
from galenic.zoo.surgery import Skip, dependencies, redo


def net() -> nn.Module:
    return build("mlp", (4,), 2, options={"hidden": [6, 5]}).module


def shapes(module: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for parameter in module.parameters()]


@pytest.mark.parametrize(
    "group",
    [["features.0", True, [1, 4]], ["features.2", False, [1, 4]], ("features.0", True, (1, 4))],
    ids=["outputs", "inputs", "tuple"],
)
def test_channels_are_taken_out_with_what_hangs_on_them(group) -> None:
    module, whole = net(), net()
    redo(module, (4,), [{"change": "channels", "groups": [group]}])
    left = [0, 2, 3, 5]
    assert torch.equal(module.features[0].weight, whole.features[0].weight[left])
    assert torch.equal(module.features[0].bias, whole.features[0].bias[left])
    assert torch.equal(module.features[2].weight, whole.features[2].weight[:, left])
    assert torch.equal(module.classifier.weight, whole.classifier.weight)


def test_groups_and_changes_are_done_one_after_the_other() -> None:
    """Numbers are those of the net as the change before left it."""
    module, whole = net(), net()
    first = {"change": "channels", "groups": [["features.2", True, [0]], ["features.0", True, [5, 0]]]}
    second = {"change": "channels", "groups": [["features.0", True, [0, 3]]]}
    redo(module, (4,), [first, second])
    assert shapes(module) == [(2, 4), (2,), (4, 2), (4,), (2, 4), (2,)]
    assert torch.equal(module.features[0].weight, whole.features[0].weight[[2, 3]])
    assert torch.equal(module.features[2].weight, whole.features[2].weight[1:][:, [2, 3]])


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


def test_layers_that_are_taken_out_hand_on_what_they_were_given() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(Block(), Block(), Block(), nn.Linear(4, 2))
    last, middle, head = module[2], module[1], module[3]
    redo(module, (4,), [{"change": "layers", "paths": ["0", "1.inner.0"]}])
    assert isinstance(module[0], Skip)
    assert isinstance(module[1].inner[0], Skip)
    assert (module[1], module[2], module[3]) == (middle, last, head)
    assert list(module.state_dict()) == ["2.inner.0.weight", "2.inner.0.bias", "3.weight", "3.bias"]
    x = torch.randn(3, 4)
    assert torch.equal(module(x), head(last(x + x.relu())))


def test_both_kinds_of_change_follow_each_other() -> None:
    module, whole = net(), net()
    channels = {"change": "channels", "groups": [["features.0", True, [2]]]}
    redo(module, (4,), [channels, {"change": "layers", "paths": ["features.1"]}])
    x, left = torch.randn(3, 4), [0, 1, 3, 4, 5]
    hidden = (x @ whole.features[0].weight.T + whole.features[0].bias)[:, left]
    second = torch.relu(hidden @ whole.features[2].weight[:, left].T + whole.features[2].bias)
    torch.testing.assert_close(module(x), whole.classifier(second))


def test_no_history_changes_nothing() -> None:
    module, whole = net(), net()
    redo(module, (4,), ())
    assert torch.equal(module.features[0].weight, whole.features[0].weight)
    assert shapes(module) == shapes(whole)


def test_a_skip_gives_its_first_input_whatever_else_it_is_given() -> None:
    x, skip = torch.randn(2, 3), Skip()
    for answer in (skip(x), skip(x, torch.zeros(2, 3), None), skip(x, attention_mask=torch.ones(2), head=3)):
        assert answer is x
    assert not list(skip.parameters())


@pytest.mark.parametrize("change", [{"change": "grown"}, {"paths": ["features.0"]}])
def test_a_change_that_is_not_known_is_refused(change) -> None:
    module = net()
    with pytest.raises(ModelError, match=f"changed by '{change.get('change')}'") as caught:
        redo(module, (4,), [change])
    assert caught.value.expected == "one of channels, layers"


def test_a_net_that_cannot_be_followed_is_refused_by_its_name() -> None:
    class Numpy(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(super().forward(x).numpy())

    module = Numpy(4, 2).train()
    with pytest.raises(ModelError, match=r"Numpy, whose channels cannot be traced \(RuntimeError"):
        dependencies(module, (4,))
    assert module.training, "its mode is as it was"
