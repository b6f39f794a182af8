"""Layers that can go, and which of them goes: by losses that are known, and by a net in which one block does nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.compress.method import Bench
from galenic.compress.prune.layers import LayerPruning, loss_without, prune_layers, removable, validation_loss
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import QuantRule, QuantSpec
from galenic.zoo.build import build
from galenic.zoo.macs import count_macs
from galenic.zoo.model import Model, weights_hash
from galenic.zoo.saving import load_model, save_model


class Block(nn.Module):
    """x + dense(x)."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4)
        nn.init.constant_(self.dense.weight, weight)
        nn.init.zeros_(self.dense.bias)
        self.inside = nn.Sequential(nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dense(x) + 0 * self.inside(x)


def blocks(*weights: float) -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(144, 4), nn.Sequential(*(Block(weight) for weight in weights)), nn.Linear(4, 2))
    module = nn.Sequential(nn.Flatten(), *module)
    return Model(module.eval(), ModelSpec(architecture="net", input_shape=(1, 12, 12), outputs=2), ("net",))


def test_blocks_that_keep_their_shape_can_go_and_containers_are_looked_into() -> None:
    assert removable(blocks(0.1, 0.2, 0.3)) == ("2.0", "2.1", "2.2")
    assert removable(blocks(0.1, 0.2, 0.3), ("2.1",)) == ("2.0", "2.2")
    # the first block of a stage changes the shape, the second does not; resnet8 has one block a stage
    assert removable(build("resnet20", (3, 32, 32), 2)) == (
        "stages.0.0", "stages.0.1", "stages.0.2", "stages.1.1", "stages.1.2", "stages.2.1", "stages.2.2",
    )  # fmt: skip
    with pytest.raises(ModelError, match="keep = 'heads'"):
        removable(blocks(0.1), ("heads",))


def test_the_block_whose_loss_hurts_least_goes_and_the_others_are_measured_anew() -> None:
    model = blocks(0.1, 0.2, 0.3)
    asked: list[tuple[str, ...]] = []
    losses = {("2.0",): 3.0, ("2.1",): 1.0, ("2.2",): 2.0, ("2.0", "2.1"): 1.5, ("2.1", "2.2"): 4.0}

    def loss(module: nn.Module) -> float:
        gone = tuple(path for path in ("2.0", "2.1", "2.2") if type(module.get_submodule(path)).__name__ == "Skip")
        asked.append(gone)
        return losses[gone]

    before = weights_hash(model)
    made = prune_layers(model, 2, loss)
    assert made.spec.history == ({"change": "layers", "paths": ["2.1", "2.0"]},)
    assert asked == [("2.0",), ("2.1",), ("2.2",), ("2.0", "2.1"), ("2.1", "2.2")]
    x = torch.randn(3, 1, 12, 12)
    whole = model.module
    with torch.no_grad():
        torch.testing.assert_close(made.module(x), whole[3](whole[2][2](whole[1](x.flatten(1)))))
    assert (weights_hash(model), model.spec.history) == (before, ())


def test_a_layer_is_back_after_it_was_measured_even_where_measuring_fails() -> None:
    module = blocks(0.1, 0.2).module
    layer = module.get_submodule("2.0")

    def fails(_: nn.Module) -> float:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        loss_without(module, "2.0", fails)
    assert module.get_submodule("2.0") is layer


def test_the_loss_is_measured_on_validation_and_the_lowest_decides(task, tmp_path: Path) -> None:
    bench = Bench(task, 0, tmp_path)
    model = blocks(0.9, 0.0, -0.9)
    rows = torch.from_numpy(to_inputs(task.preprocessing, task.validation.inputs))
    labels = torch.from_numpy(task.validation.labels).long()
    whole = model.module

    def by_hand(*kept: int) -> float:
        x = whole[1](rows.flatten(1))
        for number in kept:
            x = whole[2][number](x)
        return float(F.cross_entropy(whole[3](x), labels))

    with torch.no_grad():
        without = {"2.0": by_hand(1, 2), "2.1": by_hand(0, 2), "2.2": by_hand(0, 1)}
        assert validation_loss(bench)(whole) == pytest.approx(by_hand(0, 1, 2), rel=1e-5)
    assert without["2.1"] == pytest.approx(validation_loss(bench)(whole), rel=1e-5)  # that block does nothing
    found = {path: loss_without(whole, path, validation_loss(bench)) for path in without}
    assert found == pytest.approx(without, rel=1e-5)
    (made,) = LayerPruning().apply(model, bench)
    assert made.spec.history == ({"change": "layers", "paths": [min(without, key=lambda path: without[path])]},)
    assert made.lineage == ("net", "layers")


def test_a_shallower_net_is_stored_and_loads_bit_for_bit(tmp_path: Path) -> None:
    model = build("resnet20", (1, 12, 12), 2, seed=3)
    made = prune_layers(model, 3, lambda module: float(sum(p.detach().sum() for p in module.parameters())))
    loaded = load_model(save_model(made, tmp_path))
    assert weights_hash(loaded) == weights_hash(made)
    assert count_macs(loaded) == count_macs(made) < count_macs(model)
    x = torch.randn(2, 1, 12, 12)
    assert torch.equal(loaded.module(x), made.module(x))


def test_what_cannot_be_is_refused() -> None:
    model = blocks(0.1, 0.2)
    with pytest.raises(ModelError, match="2 layers to take out of net, of which 2 can go"):
        LayerPruning(count=2).refuse_model(model)
    with pytest.raises(ModelError, match="quantized"):
        LayerPruning().refuse_model(replace(model, quant=QuantSpec(rule=QuantRule())))
    LayerPruning(count=1).refuse_model(model)


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_layers_of_a_transformer_go_whole(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    options = {"vocabulary": 50, "hidden": 32, "layers": 3, "heads": 2, "intermediate": 64}
    model = build(name, (16,), 2, options=options)
    made = prune_layers(model, 2, lambda _: 0.0)
    assert len(removable(made)) == 1
    tokens = torch.randint(1, 50, (2, 16))
    loaded = load_model(save_model(made, tmp_path))
    with torch.no_grad():
        assert torch.equal(loaded.module(tokens), made.module(tokens))
