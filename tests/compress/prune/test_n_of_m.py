"""N of m: by hand on a dense layer, layers that do not fit, pruning twice, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from galenic.compress.method import Bench
from galenic.compress.prune.magnitude import MagnitudePruning
from galenic.compress.prune.n_of_m import NOfM, prune_n_of_m
from galenic.compress.supervised import Supervised
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import QuantRule, QuantSpec
from galenic.record.sparsity import Sparsity
from galenic.record.training import TrainingConfig
from galenic.zoo.build import build
from galenic.zoo.model import Model, removed_share, weights_hash


def model_of(module: nn.Module, shape: tuple[int, ...] = (8,)) -> Model:
    return Model(module.eval(), ModelSpec(architecture="net", input_shape=shape, outputs=2), ("net",))


def dense() -> Model:
    net = nn.Sequential(nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.copy_(
            torch.tensor([[0.1, 0.9, -0.2, 0.5, 3.0, -4.0, 5.0, 6.0], [-0.1, -0.3, -0.2, 0.05, 0.7, 0.0, 0.8, 0.9]])
        )
    return model_of(net)


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=0, folder=tmp_path)


def test_two_of_four_by_hand_and_the_model_is_left_as_it_was(bench: Bench) -> None:
    start = dense()
    before = weights_hash(start)
    (made,) = NOfM().apply(start, bench)
    expected = torch.tensor([[0, 0.9, 0, 0.5, 0, 0, 5.0, 6.0], [0, -0.3, -0.2, 0, 0, 0, 0.8, 0.9]])
    assert torch.equal(made.module[0].weight, expected)
    assert torch.equal(made.module[2].weight, start.module[2].weight), "4 does not divide 2"
    assert made.lineage == ("net", "n_of_m")
    note = "2:4 does not fit, and they stay dense: 2"
    assert made.sparsity == Sparsity(parameters=("0.weight",), notes=(note,))
    assert (weights_hash(start), start.sparsity) == (before, None)


def test_one_of_two_fits_every_layer_here(bench: Bench) -> None:
    (made,) = NOfM(n=1, m=2).apply(dense(), bench)
    assert (made.module[0].weight[0] != 0).int().tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert (made.module[2].weight != 0).sum(dim=1).tolist() == [1, 1]
    assert made.sparsity == Sparsity(parameters=("0.weight", "2.weight"))


def test_layers_that_are_kept_stay_dense_and_are_in_no_note(bench: Bench) -> None:
    start = dense()
    (made,) = NOfM(n=1, m=2, keep=("0",)).apply(start, bench)
    assert torch.equal(made.module[0].weight, start.module[0].weight)
    assert (made.module[2].weight != 0).sum(dim=1).tolist() == [1, 1]
    assert made.sparsity == Sparsity(parameters=("2.weight",))


def test_of_a_convolution_groups_lie_along_the_input_channels() -> None:
    torch.manual_seed(0)
    conv, thin = nn.Conv2d(8, 3, 3), nn.Conv2d(3, 3, 3, groups=3)
    made = prune_n_of_m(model_of(nn.Sequential(conv, thin), (8, 9, 9)), 2, 4)
    groups = (made.module[0].weight != 0).view(3, 2, 4, 3, 3)
    assert (groups.sum(dim=2) == 2).all()
    large = conv.weight.abs().view(3, 2, 4, 3, 3).sort(dim=2, descending=True).values[:, :, :2].sum(dim=2)
    torch.testing.assert_close(made.module[0].weight.abs().view(3, 2, 4, 3, 3).sum(dim=2), large)
    assert made.sparsity.notes == ("2:4 does not fit, and they stay dense: 1",)


def test_what_was_removed_before_does_not_count_among_the_n(bench: Bench) -> None:
    (first,) = MagnitudePruning(sparsity=0.5, keep=("2",)).apply(dense(), bench)
    assert (first.module[0].weight[1] != 0).int().tolist() == [0, 0, 0, 0, 1, 0, 1, 1]
    (made,) = NOfM().apply(first, bench)
    assert (made.module[0].weight != 0).int().tolist() == [[0, 1, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1]]
    assert made.lineage == ("net", "magnitude", "n_of_m")
    assert removed_share(made) == 11 / 16
    (again,) = NOfM().apply(made, bench)
    assert weights_hash(again) == weights_hash(made)
    assert again.sparsity == made.sparsity


def test_the_pattern_is_there_after_fine_tuning(bench: Bench) -> None:
    config = TrainingConfig(
        epochs=2, batch_size=16, learning_rate=0.02, augment=False, precision="float32", memory_format="contiguous"
    )
    start = prune_n_of_m(build("mlp", (1, 12, 12), 2, options={"hidden": [8]}), 2, 4)
    (made,) = Supervised().apply(start, replace(bench, training=config))
    for name, weight in made.module.named_parameters():
        if name.endswith("weight"):
            assert ((weight.view(-1, 4) != 0).sum(dim=1) == 2).all()
            assert not torch.equal(weight, start.module.get_parameter(name))


def test_what_fits_nothing_and_what_is_quantized_is_refused(bench: Bench) -> None:
    with pytest.raises(ModelError, match="3:5 pruning of net, no layer of which has a multiple of 5 inputs"):
        NOfM(n=3, m=5).apply(dense(), bench)
    quantized = replace(dense(), quant=QuantSpec(rule=QuantRule()))
    with pytest.raises(ModelError, match="2:4 pruning of a model that is quantized"):
        NOfM().apply(quantized, bench)
    with pytest.raises(ModelError, match="n_of_m of a model that is quantized"):
        NOfM().refuse_model(quantized)
    with pytest.raises(ModelError, match="keep = 'head'"):
        NOfM(keep=("head",)).refuse_model(dense())
    for n, m in ((4, 4), (5, 4), (0, 4)):
        with pytest.raises(ValidationError):
            NOfM(n=n, m=m)
