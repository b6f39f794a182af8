"""The graph says what the module says; a folded batch norm only adds; names are those of the modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.zoo.build import build
from galenic.zoo.graph import (
    NORMS,
    bound,
    folded,
    last_layers,
    layers,
    run,
    tensors,
    traced,
    unique,
    unit_variance,
    values,
)
from galenic.zoo.model import Model


def as_model(module: nn.Module, shape: tuple[int, ...], outputs: int) -> Model:
    return Model(module.eval(), ModelSpec(architecture="made here", input_shape=shape, outputs=outputs))


def shake(module: nn.Module) -> None:
    """Give every batch norm statistics that do something."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
            part.weight.data.uniform_(0.5, 2.0, generator=generator)
            part.bias.data.normal_(generator=generator)


@pytest.mark.parametrize(
    ("name", "shape", "standing"),
    [
        ("resnet8", (3, 16, 16), 0),
        ("ds_conv1d", (6, 64), 0),
        pytest.param("densenet121", (3, 32, 32), 62, marks=pytest.mark.slow),
    ],
)
def test_folding_and_tracing_change_nothing(name: str, shape: tuple[int, ...], standing: int) -> None:
    """DenseNet's batch norms before an activation (62 of 121) have no layer right before them and stay."""
    model = build(name, shape, 3)
    shake(model.module)
    inputs = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.module(inputs)
        made, graph = folded(model)
        torch.testing.assert_close(made.module(inputs), expected, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(graph(inputs), made.module(inputs), atol=1e-5, rtol=1e-5)
    assert sum(node.target in NORMS for node in graph.graph.nodes) == standing


def test_a_fold_by_hand_with_and_without_a_bias() -> None:
    for bias in (True, False):
        net = nn.Sequential(nn.Conv1d(1, 2, 1, bias=bias), nn.BatchNorm1d(2, eps=0.25), nn.Flatten(), nn.Linear(6, 2))
        with torch.no_grad():
            net[0].weight.copy_(torch.tensor([[[2.0]], [[-1.0]]]))
            if bias:
                net[0].bias.copy_(torch.tensor([3.0, 0.0]))
            net[1].running_mean.copy_(torch.tensor([1.0, 2.0]))
            net[1].running_var.copy_(torch.tensor([0.0, 3.75]))  # var + eps = 1/4 and 4
            net[1].weight.copy_(torch.tensor([3.0, 1.0]))
            net[1].bias.copy_(torch.tensor([0.5, 0.0]))
        made, graph = folded(as_model(net, (1, 3), 2))
        conv, norm = made.module[0], made.module[1]
        assert conv.weight.flatten().tolist() == [12.0, -0.5]  # 2 * 3 / 0.5 and -1 / 2
        # (b - mean) gamma / sigma + beta: (3 - 1) * 6 + 0.5, or (0 - 1) * 6 + 0.5; and -2 / 2
        assert norm.bias.tolist() == [12.5 if bias else -5.5, -1.0]
        assert (norm.weight.tolist(), norm.running_mean.tolist()) == ([1.0, 1.0], [0.0, 0.0])
        assert not bias or conv.bias.tolist() == [0.0, 0.0]
        assert net[0].weight.flatten().tolist() == [2.0, -1.0], "the model itself is left as it was"
        assert list(layers(graph)) == ["0", "3"]
        again, _ = folded(made)
        assert again.module[0].weight.tolist() == conv.weight.tolist(), "a second fold changes nothing"


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 0.01, 0.25])
def test_the_variance_of_a_folded_norm_makes_exactly_one(eps: float) -> None:
    variance = torch.tensor(unit_variance(eps), dtype=torch.float32)
    assert float(variance + eps) == 1.0
    assert np.float32(np.sqrt(np.float32(variance) + np.float32(eps))) == 1.0


def test_tensors_are_named_by_their_modules_and_are_theirs() -> None:
    model = build("resnet8", (1, 12, 12), 2)
    made, graph = folded(model)
    names = list(tensors(graph))
    assert names[:4] == ["input", "stem.0", "stem.2/relu", "stages.0.0.conv1"]
    assert {"stages.0.0/add", "head.0/adaptive_avg_pool2d", "classifier"} <= set(names)
    inputs = torch.randn(3, 1, 12, 12)
    found = values(graph, inputs)
    stem = F.relu(F.conv2d(inputs, made.module.stem[0].weight, made.module.stem[1].bias, padding=1))
    torch.testing.assert_close(found["stem.2/relu"], stem)
    torch.testing.assert_close(found["classifier"], graph(inputs))


def test_what_is_seen_may_be_changed_and_is_computed_on_with() -> None:
    graph = traced(as_model(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), (2,), 2))
    inputs = torch.randn(4, 2)
    with torch.no_grad():
        changed = run(graph, inputs, lambda name, value: value * 0 if name == "1/relu" else None)
    assert torch.equal(changed, graph.get_parameter("2.bias").expand(4, 2))


def test_the_graph_trains_the_models_own_parameters_and_can_be_bound_to_others() -> None:
    made, graph = folded(build("resnet8", (1, 12, 12), 2))
    own = dict(made.module.named_parameters())
    assert all(parameter is own[name] for name, parameter in graph.named_parameters())
    graph.train()
    other, _ = folded(build("resnet8", (1, 12, 12), 2, seed=5))
    inputs = torch.randn(2, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(bound(graph, other)(inputs), other.module(inputs), atol=1e-5, rtol=1e-5)


def test_in_place_operations_and_dropout_are_no_more_in_the_graph() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(3, 2))
    graph = traced(as_model(net, (3,), 2))
    assert list(tensors(graph)) == ["input", "0", "1/relu", "3"]


def test_a_module_that_cannot_be_traced_is_refused_by_name() -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match="made here, which torch cannot trace"):
        traced(as_model(Branching(), (3,), 3))


def test_a_name_that_comes_again_gets_a_number() -> None:
    taken = {"input"}
    assert [unique(name, taken) for name in ("a", "a", "b", "a", "input")] == ["a", "a:1", "b", "a:2", "input:1"]
    assert taken == {"input", "a", "a:1", "b", "a:2", "input:1"}


class Joined(nn.Module):
    """Two ends that are added up or put side by side; what is before them is no end."""

    def __init__(self, joined: str) -> None:
        super().__init__()
        self.joined = joined
        self.stem, self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 2), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        left, right = self.left(x), self.right(x)
        return left + right * 2 if self.joined == "sum" else torch.cat([left, right], dim=1)


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), (4,), {"2"}),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2), nn.ReLU(), nn.Flatten()), (4,), {"1"}),
        (
            nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            (1, 3, 3),
            {"1"},
        ),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2), nn.BatchNorm1d(2)), (4,), {"1"}),
        (
            nn.Sequential(nn.ConvTranspose2d(1, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            (1, 3, 3),
            {"0"},
        ),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), (2,), set()),
        (Joined("sum"), (4,), {"left", "right.0"}),
        (Joined("side by side"), (4,), {"left", "right.0"}),
    ],
    ids=["dense", "relu", "convolution", "norm", "transposed", "none", "sum", "side by side"],
)
def test_the_last_layers_are_those_whose_outputs_become_the_logits(module, shape, expected: set[str]) -> None:
    found = last_layers(as_model(module, shape, 2))
    assert set(found) == expected
    assert len(found) == len(expected)


def test_the_last_layer_of_a_residual_net_is_its_classifier() -> None:
    assert last_layers(build("resnet8", (1, 12, 12), 2)) == ("classifier",)
