import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.dynamic_int8 import quantize_dense
from galenic.compress.quantize.half import to_half
from galenic.compress.quantize.int4 import quantize_weights
from galenic.compress.quantize.simulate import simulated
from galenic.exporters.litert import EXPORTER
from galenic.exporters.litert_coverage import INT4, INT8, integers_of
from galenic.exporters.litert_file import kinds, unpacked
from galenic.exporters.matching import activations
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, LayerRule, QuantRule, QuantSpec, TensorRole
from galenic.runtimes.load import open_session
from galenic.zoo.build import build
from galenic.zoo.graph import traced
from known_net import known_net

CALIBRATION = np.array([[-1.0, 0.5], [3.0, 2.0]], np.float32)
# relu(W0 x + b0) of the two rows is (0, .125) and (0, 2.5); W2 of them + b2 is (0, .5, -.75) and (0, -9, 4)
FLOAT16 = 1


def stored(artifact) -> dict:
    """The tensors of a file by name."""
    return {tensor.name.decode(): tensor for tensor in unpacked(artifact.path.read_bytes()).subgraphs[0].tensors}


def grid(tensor) -> tuple:
    return tensor.quantization.scale.tolist(), tensor.quantization.zeroPoint.tolist()


def simulation(model, artifact, inputs) -> np.ndarray:
    with torch.no_grad():
        return simulated(traced(model), artifact.quant.points, torch.from_numpy(inputs)).numpy()


@pytest.fixture(scope="module")
def whole(wrap, integers, ends, tmp_path_factory):
    """The known net with its file, which is made once."""
    model = integers(wrap(known_net(), (2,), 3), CALIBRATION)
    return model, EXPORTER.export(model, tmp_path_factory.mktemp("int8") / "model.tflite", **ends(model))


@pytest.mark.slow
def test_the_file_holds_the_models_points(whole):
    model, artifact = whole
    file = unpacked(artifact.path.read_bytes())
    assert kinds(file) == ["QUANTIZE", "FULLY_CONNECTED", "FULLY_CONNECTED", "DEQUANTIZE"]
    found = stored(artifact)
    # the input is in [-1, 3], 0 is 64 of 255 and -64 in int8; the hidden layer is in [0, 2.5], the logits in [-9, 4]
    assert grid(found["input:q"]) == ([pytest.approx(4 / 255)], [-64])
    assert grid(found["0"]) == ([pytest.approx(2.5 / 255)], [-128])
    assert grid(found["logits:q"]) == ([pytest.approx(13 / 255)], [177 - 128])
    assert {name: found[name].type for name in ("input", "logits")} == {"input": 0, "logits": 0}
    assert grid(found["2.weight"])[0] == pytest.approx([1 / 127, 4 / 127, 2 / 127])
    # .25 * 127 / 4 = 7.9 and -.5 * 127 / 2 = -31.75
    assert integers_of(file, found["2.weight"]).tolist() == [[127, 0], [8, -127], [-32, 127]]
    assert artifact.quant == model.quant
    assert (artifact.precision, artifact.runtime) == ("int8", "litert")
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (2, 0, 2, ())


@pytest.mark.slow
def test_it_computes_what_integers_by_hand_give(whole, rows):
    model, artifact = whole
    found = {(point.tensor, point.role): point for point in model.quant.points}

    def to_integers(values, point, low, high):
        scale, zero = np.array(point.scale), np.array(point.zero_point)
        if point.axis is not None:
            scale, zero = scale[:, None], zero[:, None]
        return np.clip(np.round(values / scale) + zero, low, high) - zero

    def layer(number, inputs, point):
        weights, bias = (getattr(model.module[number], part).detach().numpy() for part in ("weight", "bias"))
        own = found[str(number), TensorRole.WEIGHT]
        step = point.scale[0] * np.array(own.scale)
        total = to_integers(inputs, point, 0, 255) @ to_integers(weights, own, -127, 127).T + np.round(bias / step)
        return total * step

    inputs = rows(50, (2,))
    hidden = np.maximum(layer(0, inputs, found["input", TensorRole.INPUT]), 0)
    logits = found["2", TensorRole.OUTPUT]
    expected = to_integers(layer(2, hidden, found["1/relu", TensorRole.OUTPUT]), logits, 0, 255) * logits.scale[0]
    answers = open_session(artifact).run(inputs)
    assert np.isclose(answers, expected, atol=1e-5).mean() > 0.97
    assert np.abs(answers - expected).max() < 1.01 * logits.scale[0] + 4.0 * 2.5 / 255


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "layers"), [("resnet8", (3, 16, 16), 10), ("ds_conv1d", (6, 64), 8), ("mlp", (30,), 3)]
)
def test_every_layer_of_the_zoo_is_integer_and_the_file_is_its_simulation(
    name, shape, layers, wrap, integers, ends, rows, tmp_path
):
    model = wrap(build(name, shape, 3, seed=0).module, shape, 3)
    inputs = rows(64, shape)
    int8 = integers(model, inputs)
    artifact = EXPORTER.export(int8, tmp_path / "int8.tflite", **ends(model))
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (layers, 0, layers, ())
    assert artifact.quant.points == int8.quant.points
    assert "ADD" not in kinds(unpacked(artifact.path.read_bytes())) or name == "resnet8"
    answers, expected = open_session(artifact).run(inputs), simulation(int8, artifact, inputs)
    # a mean in the middle of two integers may round either way, and moves what follows by a step
    assert np.isclose(answers, expected, atol=1e-5).mean() > 0.6
    assert (answers.argmax(1) == expected.argmax(1)).mean() > 0.95


class Gate(nn.Module):
    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.reduce, self.activation = nn.Conv2d(channels, channels, 1), activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.activation(self.reduce(x.mean((2, 3), keepdim=True)))


class Beside(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.inner(x)], 1)


def many_operations() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        Gate(8, nn.Hardsigmoid()),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.SiLU(),
        Gate(8, nn.Sigmoid()),
        nn.MaxPool2d(3, 2, 1),
        Beside(nn.Conv2d(8, 4, 3, padding=1)),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 8, 1),
        nn.LeakyReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


@pytest.mark.slow
def test_what_litert_computes_differently_is_in_the_points_in_use(wrap, integers, ends, rows, tmp_path):
    shape = (3, 16, 16)
    inputs = rows(64, shape)
    model = integers(wrap(many_operations(), shape, 3), inputs)
    artifact = EXPORTER.export(model, tmp_path / "model.tflite", **ends(model))
    assert artifact.integer_ops.left_float == ()
    before, used = (activations(quant.points) for quant in (model.quant, artifact.quant))
    changed = {name: (used[name].scale, used[name].zero_point) for name in used if used[name] != before[name]}
    # relu6(x + 3) in 254 steps of 6/254, where 0 is 127
    assert changed == {"3.reduce": ((pytest.approx(6 / 254),), (127,))}
    # the convolution is made for the concatenation alone, and what the batch norm of its own makes is not rounded
    assert before.keys() - used.keys() == {"8.inner", "9/batch_norm"}
    types = {name: tensor.type for name, tensor in stored(artifact).items()}
    assert types["9/SUB"] == types["10/MUL"] == 0
    assert types["10/MUL:q"] == types["8/CONCATENATION"] == INT8
    answers, expected = open_session(artifact).run(inputs), simulation(model, artifact, inputs)
    step = used["15"].scale[0]
    assert np.median(np.abs(answers - expected).max(axis=1)) < 1.01 * step
    assert (
        np.abs(simulated(traced(model), model.quant.points, torch.from_numpy(inputs)).numpy() - answers).max()
        < 9 * step
    )


@pytest.mark.slow
def test_what_is_kept_stays_float_and_few_bits_are_stored_in_four(wrap, integers, ends, rows, tmp_path):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 1),
        nn.ReLU(),
        nn.Conv2d(8, 6, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    half = LayerRule(layer="6", weight_bits=16, activation_bits=16)
    rule = QuantRule(weight_bits=4, keep=("4",), layers=(half,))
    inputs = rows(32, (3, 8, 8))
    model = integers(wrap(net, (3, 8, 8), 3), inputs, rule)
    artifact = EXPORTER.export(model, tmp_path / "model.tflite", **ends(model))
    ops = artifact.integer_ops
    assert (ops.integer, ops.expected, ops.left_float) == (3, 3, ("4", "6"))
    assert (artifact.precision, artifact.quant.stays_float) == ("w4a8", ("4", "6"))
    found, file = stored(artifact), unpacked(artifact.path.read_bytes())
    types = {name: found[f"{name}.weight"].type for name in "02469"}
    assert types == {"0": INT4, "2": INT8, "4": 0, "6": FLOAT16, "9": INT4}  # no int4 kernel for depthwise ones
    for name in "029":
        assert np.abs(integers_of(file, found[f"{name}.weight"])).max() == 7
    answers, expected = open_session(artifact).run(inputs), simulation(model, artifact, inputs)
    assert np.median(np.abs(answers - expected)) < 1e-5


@pytest.mark.slow
def test_integer_weights_alone_and_half_ones_give_what_the_module_gives(wrap, ends, rows, tmp_path):
    net = nn.Sequential(
        nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.Flatten(), nn.Linear(36, 40), nn.Linear(40, 3)
    )
    model, inputs = wrap(net, (2, 8), 3), rows(30, (2, 8))
    few = QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=4, activation_bits=32)
    half = QuantRule(arithmetic=Arithmetic.FLOAT16, weight_bits=16, activation_bits=16)
    made = {
        "weights-int4": quantize_weights(model, few, in_batches(inputs)),
        "dynamic-int8": quantize_dense(model, QuantRule(arithmetic=Arithmetic.DYNAMIC)),
        "float16": to_half(model, half),
    }
    types = {"weights-int4": (INT4, INT4), "dynamic-int8": (0, INT8), "float16": (FLOAT16, FLOAT16)}
    counts = {"weights-int4": (0, 3, 0), "dynamic-int8": (2, 1, 2), "float16": (0, 0, 0)}
    errors = {"weights-int4": 1e-5, "dynamic-int8": 0.02, "float16": 2e-3}
    for name, one in made.items():
        artifact = EXPORTER.export(one, tmp_path / f"{name}.tflite", **ends(model))
        with torch.no_grad():
            expected = one.module(torch.from_numpy(inputs)).numpy()
        error = np.abs(open_session(artifact).run(inputs) - expected).max() / np.abs(expected).max()
        assert error < errors[name], name
        found = stored(artifact)
        assert (found["0.weight"].type, found["4.weight"].type) == types[name]
        ops = artifact.integer_ops
        assert (artifact.precision, ops.integer, ops.floating, ops.expected) == (name, *counts[name])
        assert all(point.role is TensorRole.WEIGHT for point in artifact.quant.points)


ANOTHER_PROCESS = """
import sys
from pathlib import Path
import torch
from galenic.exporters.litert import EXPORTER
from galenic.record.preprocessing import Preprocessing
model = torch.load(sys.argv[1], weights_only=False)
preprocessing = Preprocessing(modality="table", raw_shape=(2,), scale=1.0, mean=(0.0,) * 2, std=(1.0,) * 2)
made = EXPORTER.export(model, Path(sys.argv[2]), preprocessing=preprocessing, classes=("class 0", "class 1", "class 2"))
print(made.sha256)
"""


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_in_another_process_which_says_nothing(whole, tmp_path):
    model, artifact = whole
    torch.save(model, tmp_path / "model.pt")
    environment = {**os.environ, "PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path / "model.pt"), str(tmp_path / "other.tflite")]
    child = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert child.stderr == ""
    assert child.stdout.split() == [artifact.sha256]
    assert not [path for path in (b"/", b"site-packages") if path in artifact.path.read_bytes()]


@pytest.mark.slow
def test_a_tensor_without_a_grid_is_refused_by_name(whole, ends, tmp_path):
    model, _ = whole
    fewer = tuple(point for point in model.quant.points if point.tensor != "1/relu")
    short = replace(model, quant=model.quant.model_copy(update={"points": fewer}))
    with pytest.raises(ModelError, match="1 tensors of the LiteRT file without a grid: 0"):
        EXPORTER.export(short, tmp_path / "model.tflite", **ends(model))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (QuantRule(activation_bits=4), "8-bit weights with 4-bit activations for litert"),
        (QuantRule(layers=(LayerRule(layer="a", activation_bits=4),)), "weights of up to 8 bits and 8-bit activations"),
        (QuantRule(weight_bits=12), "12-bit weights"),
        (QuantRule(group_size=32), "one scale for each 32 weights for litert"),
        (QuantRule(arithmetic=Arithmetic.BFLOAT16, weight_bits=16, activation_bits=16), "bfloat16 for litert"),
    ],
)
def test_what_litert_cannot_hold_is_refused_before_any_work(rule, why, known, wrap, ends, tmp_path):
    with pytest.raises(ModelError, match=why):
        EXPORTER.check_rule(rule)
    model = replace(wrap(known, (2,), 3), quant=QuantSpec(rule=rule))
    with pytest.raises(ModelError, match="for litert"):
        EXPORTER.export(model, tmp_path / "model.tflite", **ends(model))


def test_what_it_can_hold_is_not():
    half = LayerRule(layer="a", weight_bits=16, activation_bits=16)
    for rule in (QuantRule(), QuantRule(weight_bits=2), QuantRule(per_channel=False), QuantRule(layers=(half,))):
        EXPORTER.check_rule(rule)
    for arithmetic in (Arithmetic.WEIGHTS, Arithmetic.DYNAMIC, Arithmetic.FLOAT16):
        EXPORTER.check_rule(QuantRule(arithmetic=arithmetic, activation_bits=32))
