"""Masks hold what was removed, name what can be removed, and are read off the weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from galenic.compress.masks import apply_masks, hold, masks_before, masks_of, prunable, refuse_pruning, sparse_model
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import QuantRule, QuantSpec
from galenic.record.sparsity import Sparsity
from galenic.training.callbacks import State
from galenic.zoo.model import Model, removed_share


def model_of(module: nn.Module) -> Model:
    return Model(module.eval(), ModelSpec(architecture="net", input_shape=(4,), outputs=2), ("net",))


def blocks() -> Model:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.ReLU())
    return model_of(nn.Sequential(body, nn.Conv1d(2, 2, 1), nn.Flatten(), nn.Linear(4, 2), nn.LayerNorm(2)))


def test_the_weights_of_convolutions_and_dense_layers_are_prunable() -> None:
    model = blocks()
    found = prunable(model)
    assert list(found) == ["0.0.weight", "1.weight", "3.weight"]
    assert found["1.weight"] is model.module[1].weight


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (("3",), ["0.0.weight", "1.weight"]),
        (("0",), ["1.weight", "3.weight"]),
        (("0.*", "3"), ["1.weight"]),
        (("[13]",), ["0.0.weight"]),
    ],
)
def test_keep_names_layers_and_what_is_in_blocks(keep: tuple[str, ...], left: list[str]) -> None:
    assert list(prunable(blocks(), keep)) == left


def test_a_pattern_of_no_layer_is_refused_and_so_is_one_of_all_layers() -> None:
    with pytest.raises(ModelError, match=r"keep = 'head', which no layer of net matches") as caught:
        prunable(blocks(), ("3", "head"))
    assert "0.0, 1, 3" in caught.value.expected
    with pytest.raises(ModelError, match="no layer of net matches"):
        prunable(blocks(), ("0.1",))  # a batch norm
    with pytest.raises(ModelError, match="in which no layer is left to prune"):
        prunable(blocks(), ("*",))


def test_tied_weights_come_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert list(prunable(model_of(nn.Sequential(first, nn.ReLU(), second, nn.Linear(4, 2))))) == [
        "0.weight",
        "3.weight",
    ]


def test_a_tied_weight_stays_whole_where_one_of_its_layers_is_kept_or_of_another_kind() -> None:
    first, second, words = nn.Linear(4, 4), nn.Linear(4, 4), nn.Embedding(4, 4)
    second.weight = first.weight
    assert list(prunable(model_of(nn.Sequential(first, second, nn.Linear(4, 2))), ("0",))) == ["2.weight"]
    words.weight = first.weight
    assert list(prunable(model_of(nn.Sequential(first, nn.Linear(4, 2), words)))) == ["1.weight"]


def test_a_zero_that_was_never_pruned_is_no_removed_weight() -> None:
    model = model_of(nn.Sequential(nn.Linear(3, 1), nn.Linear(1, 2)))
    with torch.no_grad():
        model.module[0].weight.copy_(torch.tensor([[0.0, 2.0, 0.0]]))
        model.module[1].weight.zero_()
    pruned = sparse_model(model, ["0.weight"])
    found = masks_before(pruned, ["0.weight", "1.weight"])
    assert found["0.weight"].tolist() == [[False, True, False]]
    assert found["1.weight"].tolist() == [[True], [True]]


def test_masks_are_where_weights_are_not_zero() -> None:
    net = nn.Sequential(nn.Linear(4, 1))
    net[0].weight.data = torch.tensor([[0.1, 0.0, -0.2, -0.0]])
    masks = masks_of(net, ["0.weight"])
    assert masks["0.weight"].dtype is torch.bool
    assert masks["0.weight"].tolist() == [[True, False, True, False]]
    net[0].weight.data.fill_(1.0)
    assert masks["0.weight"].tolist() == [[True, False, True, False]], "they are no view of the weights"


def test_masks_are_applied_in_place() -> None:
    net = nn.Sequential(nn.Linear(4, 1))
    net[0].weight.data = torch.tensor([[0.1, 0.9, -0.2, 0.5]])
    weight = net[0].weight
    apply_masks(net, {"0.weight": torch.tensor([[False, True, False, True]])})
    assert net[0].weight is weight
    torch.testing.assert_close(weight.detach(), torch.tensor([[0.0, 0.9, 0.0, 0.5]]), rtol=0, atol=0)


def test_held_weights_stay_zero_without_gradients_while_others_move() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    mask = torch.rand(5, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    held = hold({"0.weight": mask})
    state = State(net, optimizer, 0, 0, epochs=1, steps=5)
    # momentum from before the weights were removed, which would move them although their gradients are zero
    net(torch.randn(8, 6)).square().sum().backward()
    optimizer.step()
    apply_masks(net, {"0.weight": mask})
    before = {name: one.detach().clone() for name, one in net.named_parameters()}
    drifted = False
    for _ in range(5):
        optimizer.zero_grad()
        net(torch.randn(8, 6)).square().sum().backward()
        assert (net[0].weight.grad[~mask] != 0).any()
        held.gradients_ready(state)
        assert (net[0].weight.grad[~mask] == 0).all()
        assert (net[0].weight.grad[mask] != 0).all()
        assert (net[2].weight.grad != 0).all()
        optimizer.step()
        drifted |= bool((net[0].weight[~mask] != 0).any())
        held.step_taken(state)
        assert (net[0].weight[~mask] == 0).all()
    assert drifted, "without the second half they would not be zero"
    assert (net[0].weight[mask] != before["0.weight"][mask]).all()
    assert (net[2].weight != before["2.weight"]).all()


def test_masks_that_change_in_place_are_held_as_they_are_and_remembered() -> None:
    net = nn.Sequential(nn.Linear(4, 1))
    masks = {"0.weight": torch.ones(1, 4, dtype=torch.bool)}
    held = hold(masks)
    state = State(net, torch.optim.SGD(net.parameters()), 0, 0, 1, 1)
    held.step_taken(state)
    assert (net[0].weight != 0).all()
    masks["0.weight"][0, 2] = False
    held.step_taken(state)
    held.gradients_ready(state)  # a frozen weight has no gradient
    assert (net[0].weight != 0).tolist() == [[True, True, False, True]]
    assert held.remembered["0.weight"] is masks["0.weight"]


def test_a_sparse_model_keeps_the_names_and_notes_of_the_pruning_before() -> None:
    model = blocks()
    model = replace(model, sparsity=Sparsity(parameters=("3.weight",), notes=("before",)))
    made = sparse_model(model, ["1.weight", "3.weight"], training_flops=0.25, notes=["new", "before"])
    assert made.sparsity == Sparsity(parameters=("3.weight", "1.weight"), training_flops=0.25, notes=("before", "new"))
    assert model.sparsity == Sparsity(parameters=("3.weight",), notes=("before",))
    assert made.module is model.module


def test_the_share_that_is_removed_counts_pruned_parameters_alone() -> None:
    model = blocks()  # 6 + 4 + 8 weights
    assert removed_share(model) == 0
    model.module[3].weight.data[0] = 0
    model.module[1].weight.data[0, 0, 0] = 0
    assert removed_share(model) == 0, "nothing was pruned"
    assert removed_share(sparse_model(model, ["3.weight"])) == 4 / 8
    assert removed_share(sparse_model(model, ["3.weight", "1.weight"])) == 5 / 12


def test_a_quantized_model_is_not_pruned() -> None:
    refuse_pruning(blocks(), "magnitude")
    with pytest.raises(ModelError, match=r"magnitude of a model that is quantized \(net\)"):
        refuse_pruning(replace(blocks(), quant=QuantSpec(rule=QuantRule())), "magnitude")
