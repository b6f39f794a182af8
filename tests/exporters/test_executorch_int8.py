import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from galenic.compress.quantize.simulate import simulated
from galenic.exporters.executorch import EXPORTER
from galenic.exporters.executorch_count import count_integer
from galenic.exporters.executorch_int8 import held_weights, rounded_tensors
from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, LayerRule, QuantRule, QuantSpec, TensorRole
from galenic.runtimes.load import open_session
from galenic.zoo.build import build
from galenic.zoo.graph import layers, traced
from galenic.zoo.model import Model

CALIBRATION = np.array([[-1.0, 0.5], [3.0, 2.0]], np.float32)
# relu(W0 x + b0) of the two rows: (-1 - 1, -.5 + .125 + .5) -> (0, .125) and (3 - 4, 1.5 + .5 + .5) -> (0, 2.5)


def answers(artifact: Artifact, inputs: np.ndarray) -> np.ndarray:
    with open_session(artifact) as session:
        return session.run(inputs)


def simulation(model: Model, artifact: Artifact, inputs: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return simulated(traced(model), artifact.quant.points, torch.from_numpy(inputs)).numpy()


def activation_tensors(artifact: Artifact) -> set[str]:
    return {point.tensor for point in artifact.quant.points if point.role is not TensorRole.WEIGHT}


@pytest.mark.slow
def test_the_file_holds_the_models_points_and_computes_what_integers_by_hand_give(
    known, wrap, integers, ends, rows, tmp_path, capfd
):
    model = integers(wrap(known, (2,), 3), CALIBRATION)
    artifact = EXPORTER.export(model, tmp_path / "model.pte", **ends(model))
    assert capfd.readouterr() == ("", "")
    assert activation_tensors(artifact) == {"input", "1/relu"}, "the logits stay float"
    data = artifact.path.read_bytes()
    for scale in (4 / 255, 2.5 / 255):
        assert struct.pack("<f", scale) in data
    # W0 = (1, -2; .5, .25) in steps of 2/127 and .5/127; W2 = (1, 0; .25, -4; -.5, 2) in steps of 1, 4 and 2/127
    first, last = np.array([[64, -127], [127, 64]], np.int8), np.array([[127, 0], [8, -127], [-32, 127]], np.int8)
    assert first.tobytes() in data
    assert np.pad(last, ((0, 0), (0, 1))).tobytes() in data, "a column more for the range's upper end, 2.5"
    for scales in ((2 / 127, 0.5 / 127), (1 / 127, 4 / 127, 2 / 127)):
        assert np.array(scales, np.float32).tobytes() in data

    inputs = rows(3000, (2,)) * 0.5 + 1
    given = np.clip(np.round(inputs / (4 / 255)) + 64, 0, 255) - 64
    step = 4 / 255 * np.array([2 / 127, 0.5 / 127])
    hidden = np.maximum(given @ first.T + np.round(np.array([0, 0.5]) / step), 0) * step
    hidden = np.clip(np.round(hidden / (2.5 / 255)), 0, 255)
    step = 2.5 / 255 * np.array([1 / 127, 4 / 127, 2 / 127])
    expected = (hidden @ last.astype(int).T + np.round(np.array([0, 1.0, -1.0]) / step)) * step
    found = answers(artifact, inputs)
    # a hidden value that falls on the middle of two integers may round either way
    assert np.isclose(found, expected, atol=1e-5).mean() > 0.99
    assert np.abs(found - expected).max() < 4.0 * 2.5 / 255 * 1.01
    assert max(len(np.unique(found[:, column])) for column in range(3)) > 256, "more answers than a grid has"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "count", "near"),
    [
        ("mlp", (30,), 3, 1e-6),
        ("ds_conv1d", (6, 128), 8, 1e-6),
        ("resnet8", (3, 12, 12), 10, 1e-6),  # a mean over 3 x 3 is never in the middle of two integers
    ],
)
def test_every_layer_of_the_zoo_is_integer_and_the_file_is_its_simulation(
    name, shape, count, near, wrap, integers, ends, rows, tmp_path
):
    float_model = wrap(build(name, shape, 3, seed=0).module, shape, 3)
    counted = sum(isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear) for part in float_model.module.modules())
    inputs = rows(96, shape)
    model = integers(float_model, inputs)
    artifact = EXPORTER.export(model, tmp_path / "int8.pte", **ends(model))
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (count, 0, count, ())
    assert count == counted
    assert (artifact.precision, artifact.runtime) == ("int8", "executorch")
    found, expected = answers(artifact, inputs), simulation(model, artifact, inputs)
    assert np.median(np.abs(found - expected)) < near * np.abs(expected).max()
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.97
    with torch.no_grad():
        exact = float_model.module(torch.from_numpy(inputs)).numpy()
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.95


class Mixed(nn.Module):
    """What XNNPACK would compute wrongly, or not load, if the graph were taken as it is."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.shared = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 8, 1)
        self.six, self.up, self.head = nn.ReLU6(), nn.ConvTranspose2d(8, 6, 2), nn.Linear(96, 4)

    def forward(self, x):
        wide = self.a(x)
        joined = torch.cat([wide, F.relu(self.b(wide)) * 0.1], 1)  # two grids become a third one
        narrow = F.relu(F.max_pool2d(joined, 2))  # what makes the ReLU's input keeps its own grid
        twice = self.shared(self.six(self.shared(narrow * 3.0)))  # one bias with two steps
        gated = twice * torch.sigmoid(twice) + F.hardswish(twice)
        return self.head(self.up(gated).flatten(1))


@pytest.fixture(scope="session")
def mixed(wrap, integers, ends, rows, tmp_path_factory) -> tuple[Model, Artifact]:
    model = integers(wrap(Mixed(), (3, 8, 8), 4), rows(48, (3, 8, 8)))
    return model, EXPORTER.export(model, tmp_path_factory.mktemp("mixed") / "model.pte", **ends(model))


@pytest.mark.slow
def test_the_points_in_use_are_the_whole_truth_about_any_graph(mixed, rows):
    model, artifact = mixed
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (6, 0, 6, ())
    inputs = rows(64, (3, 8, 8), seed=2)
    found, expected = answers(artifact, inputs), simulation(model, artifact, inputs)
    assert np.median(np.abs(found - expected)) < 1e-6 * np.abs(expected).max()
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.slow
def test_a_layer_counts_as_integer_only_with_its_own_integers_and_scales(mixed):
    model, artifact = mixed
    graph, data = traced(model), artifact.path.read_bytes()
    names, held = tuple(layers(graph)), held_weights(graph, model.quant)
    assert names == ("a", "b", "shared", "shared:1", "up", "head")
    assert count_integer(data, names, held) == artifact.integer_ops
    wrong = dict(held)
    wrong["b"] = replace(held["b"], scales=held["b"].scales * 2)
    wrong["up"] = replace(held["up"], integers=-held["up"].integers.abs())
    del wrong["head"]
    ops = count_integer(data, names, wrong)
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (3, 3, 5, ("b", "up", "head"))


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_however_its_weights_lie_in_memory(mixed, ends, tmp_path):
    model, artifact = mixed
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    model.module.to(memory_format=torch.channels_last)
    again = EXPORTER.export(model, tmp_path / "again.pte", **ends(model))
    assert again.sha256 == artifact.sha256
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())


@pytest.mark.slow
def test_a_layer_and_its_relu6_are_one_operation(wrap, integers, ends, rows, tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Flatten(), nn.Linear(64, 2))
    inputs = rows(64, (1, 6, 6)) * 6
    model = integers(wrap(net, (1, 6, 6), 2), inputs)
    artifact = EXPORTER.export(model, tmp_path / "model.pte", **ends(model))
    assert activation_tensors(artifact) == {"input", "1/hardtanh", "3/hardtanh"}
    top = {point.tensor: point.scale[0] * 255 for point in artifact.quant.points}
    assert top["1/hardtanh"] == pytest.approx(6.0)
    found, expected = answers(artifact, inputs), simulation(model, artifact, inputs)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.slow
def test_what_is_kept_stays_float_and_is_named_and_other_logits_are_on_their_grid(wrap, integers, ends, rows, tmp_path):
    net = nn.Sequential(
        nn.BatchNorm2d(2), nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 4), nn.Flatten()
    )
    rule, inputs = QuantRule(keep=("3",), weight_bits=4), rows(64, (2, 6, 6))
    model = integers(wrap(net, (2, 6, 6), 3), inputs, rule)
    artifact = EXPORTER.export(model, tmp_path / "model.pte", **ends(model))
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (2, 1, 2, ("3",))
    assert activation_tensors(artifact) == {"0/batch_norm", "2/relu", "3", "4"}, "a float batch norm takes the input"
    for held in held_weights(traced(model), model.quant).values():
        assert held.integers.dtype is torch.int8
        assert int(held.integers.abs().max()) == 7
    found, expected = answers(artifact, inputs), simulation(model, artifact, inputs)
    assert np.median(np.abs(found - expected)) < 1e-6 * np.abs(expected).max()
    grid = next(point for point in artifact.quant.points if point.tensor == "4" and point.role is TensorRole.OUTPUT)
    assert found / grid.scale[0] == pytest.approx(np.round(found / grid.scale[0]), abs=1e-3)


@pytest.mark.slow
def test_one_scale_per_tensor_is_that_of_every_channel(known, wrap, integers, ends, tmp_path):
    model = integers(wrap(known, (2,), 3), CALIBRATION, QuantRule(per_channel=False))
    artifact = EXPORTER.export(model, tmp_path / "model.pte", **ends(model))
    assert np.full(3, 4 / 127, np.float32).tobytes() in artifact.path.read_bytes()
    assert artifact.integer_ops.floating == 0


def test_only_what_an_integer_operation_touches_is_rounded(wrap, integers, rows):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.norm = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(8)

        def forward(self, x):
            taken = self.a(x)
            both = torch.cat([F.hardswish(taken), self.b(taken)], 1)
            return F.relu(self.norm(both)).mean((2, 3))

    model = integers(wrap(Net(), (3, 4, 4), 8), rows(16, (3, 4, 4)))
    names = {point.tensor for point in model.quant.points if point.role is not TensorRole.WEIGHT}
    assert names == {"input", "a", "hardswish", "b", "cat", "norm/batch_norm", "relu", "mean"}
    found = rounded_tensors(traced(model), model.quant)
    assert list(found) == ["input", "a", "b"]
    assert found["a"] in model.quant.points


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        (QuantRule(activation_bits=4), "8-bit weights with 4-bit activations for executorch"),
        (QuantRule(group_size=32), "one scale per channel or tensor"),
        (QuantRule(arithmetic=Arithmetic.DYNAMIC), "activations of known ranges"),
        (QuantRule(arithmetic=Arithmetic.WEIGHTS, activation_bits=32), "weights for executorch, with 8-bit weights"),
        (QuantRule(arithmetic=Arithmetic.FLOAT16, weight_bits=16), "float16 for executorch"),
        (QuantRule(weight_bits=16), "16-bit weights"),
        (QuantRule(layers=(LayerRule(layer="0", weight_bits=16),)), "weights of up to 8 bits"),
        (QuantRule(layers=(LayerRule(layer="0", activation_bits=6),)), "8-bit activations"),
    ],
)
def test_what_xnnpack_does_not_compute_on_integers_is_refused_before_any_work(rule, given, known, wrap, ends, tmp_path):
    for held in (QuantRule(), QuantRule(weight_bits=4), QuantRule(layers=(LayerRule(layer="0", weight_bits=32),))):
        EXPORTER.check_rule(held)
    with pytest.raises(ModelError, match=given):
        EXPORTER.check_rule(rule)
    model = replace(wrap(known, (2,), 3), quant=QuantSpec(rule=rule))
    with pytest.raises(ModelError, match=given):
        EXPORTER.export(model, tmp_path / "model.pte", **ends(model))


@pytest.mark.parametrize(
    ("tensor", "role", "given"),
    [
        ("1/relu", TensorRole.OUTPUT, "1 tensors of the ExecuTorch file without a grid: 1/relu"),
        ("2", TensorRole.WEIGHT, "a quantization without a point for the weight of 2"),
    ],
)
def test_what_has_no_point_is_refused_by_name(tensor, role, given, known, wrap, integers, ends, tmp_path):
    model = integers(wrap(known, (2,), 3), CALIBRATION)
    fewer = tuple(point for point in model.quant.points if (point.tensor, point.role) != (tensor, role))
    short = replace(model, quant=model.quant.model_copy(update={"points": fewer}))
    with pytest.raises(ModelError, match=given):
        EXPORTER.export(short, tmp_path / "model.pte", **ends(model))


def test_a_weight_beside_its_grid_is_refused(known, wrap, integers):
    model = integers(wrap(known, (2,), 3), CALIBRATION)
    with torch.no_grad():
        model.module[2].weight[0, 1] += 1e-4
    with pytest.raises(ModelError, match="a weight of 2 that is not on the grid of its point"):
        held_weights(traced(model), model.quant)


def test_a_layer_whose_output_is_dead_beside_its_sums_is_refused_by_name(wrap, integers, ends, rows, tmp_path):
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[2].weight.fill_(1e6)
        net[2].bias.fill_(-1e9)
    model = integers(wrap(net, (2,), 2), rows(16, (2,)))
    with pytest.raises(ModelError, match=r"2, whose sums have steps of \d+ times.*keep = \['2'\]"):
        EXPORTER.export(model, tmp_path / "model.pte", **ends(model))
