"""The graph that is trained: places by name, the model's own parameters, copies, and where it rounds."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from galenic.compress.quantize.aware_graph import RANGES, WEIGHTS, aware, learned_points
from galenic.compress.quantize.calibrate import calibrate
from galenic.compress.quantize.places import logits
from galenic.compress.quantize.simulate import simulated
from galenic.compress.quantize.static import place
from galenic.compress.quantize.weights import bake, bake_biases, inputs_of
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import FLOAT_BITS, LayerRule, Observer, QuantPoint, QuantRule
from galenic.training.layers import captured, layer_named
from galenic.training.loop import parameter_groups, update_average
from galenic.zoo.graph import folded
from galenic.zoo.model import Model


class Net(nn.Module):
    """A residual net with a norm that is folded, one that cannot be, a module that is called twice, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Hardswish())
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.act(x + self.block(x))
        x = self.drop(self.pool(self.act(self.norm(x))))
        return self.head(x.flatten(1))


def model() -> Model:
    torch.manual_seed(0)
    net = Net()
    for _ in range(3):
        net(torch.randn(8, 1, 6, 6))
    return Model(net.eval(), ModelSpec(architecture="net", input_shape=(1, 6, 6), outputs=3), ("net",))


ROWS = torch.randn(32, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def made(rule: QuantRule = QuantRule()) -> tuple[Model, nn.Module, nn.Module, tuple[QuantPoint, ...]]:
    start, graph = folded(model())
    points = place(graph, rule, calibrate(graph, lambda: [ROWS]), Observer.MIN_MAX)
    return start, graph, aware(graph, points), points


def test_it_trains_the_models_own_tensors_and_the_ends_and_scales_do_not_decay() -> None:
    start, _, trained, _ = made()
    own = dict(start.module.named_parameters())
    shared = {name: one for name, one in trained.named_parameters() if not name.startswith("galenic_")}
    assert all(own[name] is one for name, one in shared.items())
    assert {"stem.0.weight", "stem.1.bias", "norm.weight", "norm.bias", "head.bias"} <= shared.keys()
    assert not {"stem.1.weight", "stem.0.bias"} & shared.keys(), "what was folded is not trained"
    decayed, free = parameter_groups(trained, None, 0.1)
    assert {id(p) for p in decayed["params"]} == {id(p) for p in shared.values() if p.ndim > 1}
    learned = {id(p) for name, p in trained.named_parameters() if name.startswith("galenic_")}
    assert learned <= {id(p) for p in free["params"]}


def test_before_training_it_has_the_points_that_it_starts_from_and_answers_as_their_simulation_does() -> None:
    _, graph, trained, points = made(QuantRule(weight_bits=4))
    learned = learned_points(trained.eval(), graph, points)
    for before, after in zip(points, learned, strict=True):
        assert after == before.model_copy(update={"scale": after.scale})
        assert after.scale == pytest.approx(before.scale, rel=1e-5)
    with torch.no_grad():
        answered = trained(ROWS)
        bake(graph, learned)
        bake_biases(graph, learned, inputs_of(graph))
        expected = simulated(graph, learned, ROWS, (logits(graph),))
    torch.testing.assert_close(answered, expected, atol=1e-6, rtol=0)


def test_layers_are_found_by_the_paths_of_the_model() -> None:
    """What the float graph's modules return, within the steps of the grids."""
    start, _, trained, _ = made()
    paths = ["stem", "stem.1", "stem.2", "block", "block.0", "block.1", "norm", "act", "pool", "head"]
    with torch.no_grad(), captured(start.module, paths) as expected, captured(trained.eval(), paths) as found:
        start.module(ROWS)
        trained(ROWS)
    for path in paths:
        torch.testing.assert_close(found[path], expected[path], atol=0.12, rtol=0.05)
        assert found[path].shape == expected[path].shape
    assert found["stem"].unique().numel() <= 256, "rounded"


def test_a_layer_before_a_folded_norm_is_not_called_and_dropout_is_gone() -> None:
    _, _, trained, _ = made()
    with captured(trained.eval(), ["stem.0"]) as found:
        trained(ROWS)
    assert not found
    with pytest.raises(ModelError, match="drop"):
        layer_named(trained, "drop")


def test_copies_have_tensors_of_their_own_and_answer_alike() -> None:
    _, _, trained, _ = made()
    copy = deepcopy(trained.train())
    assert copy.training
    for one in (trained, copy):
        one.eval()
    assert torch.equal(copy(ROWS), trained(ROWS))
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.add_(0.1)
    assert not torch.equal(copy(ROWS), trained(ROWS))
    assert copy.state_dict().keys() == trained.state_dict().keys()
    copy.load_state_dict(trained.state_dict())
    assert torch.equal(copy(ROWS), trained(ROWS))


def test_the_average_of_weights_is_one_of_ranges_and_scales_too() -> None:
    _, _, trained, _ = made()
    average = deepcopy(trained)
    before = {name: one.clone() for name, one in average.state_dict().items()}
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1.0)
    update_average(average, trained, 0.75)
    for name, one in average.named_parameters():
        torch.testing.assert_close(one, before[name] + 0.25)


def test_the_ranges_are_of_the_points_and_the_logits_stay_float() -> None:
    _, graph, trained, points = made()
    activations = {point.tensor for point in points if point.role.value != "weight"}
    names = {name.replace("|", ".") for name, _ in trained.get_submodule(RANGES).named_children()}
    assert names == activations - {logits(graph)}
    answered = trained.eval()(ROWS.repeat(20, 1, 1, 1) + torch.randn(640, 1, 6, 6) * 0.1)
    assert answered.unique().numel() > 256


def test_a_float_layer_has_no_scales_and_rounds_nothing() -> None:
    rule = QuantRule(layers=(LayerRule(layer="block.0", weight_bits=FLOAT_BITS, activation_bits=FLOAT_BITS),))
    _, _, trained, _ = made(rule)
    assert {name for name, _ in trained.get_submodule(WEIGHTS).named_children()} == {"stem|0", "head"}


def test_every_parameter_gets_a_gradient_in_training() -> None:
    _, _, trained, _ = made(QuantRule(weight_bits=4))
    trained.train()(ROWS).square().sum().backward()
    for name, parameter in trained.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    scales = trained.get_submodule(f"{WEIGHTS}.head").log_scales.grad
    assert (scales != 0).all()
