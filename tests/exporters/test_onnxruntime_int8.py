from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from galenic.compress.quantize.places import logits
from galenic.compress.quantize.simulate import simulated
from galenic.exporters.onnx_coverage import KEEPS_FLOAT, optimised
from galenic.exporters.onnxruntime import EXPORTER
from galenic.record.errors import ModelError
from galenic.record.quant import QuantRule, TensorRole
from galenic.runtimes.load import open_session
from galenic.zoo.build import build
from galenic.zoo.graph import traced

CALIBRATION = np.array([[-1.0, 0.5], [3.0, 2.0]], np.float32)
# relu(W0 x + b0) of the two rows: (-1 - 1, -.5 + .125 + .5) -> (0, .125) and (3 - 4, 1.5 + .5 + .5) -> (0, 2.5)


def test_the_file_holds_the_models_points_and_computes_what_integers_by_hand_give(
    known, wrap, integers, ends, rows, tmp_path
):
    model = integers(wrap(known, (2,), 3), CALIBRATION)
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    assert artifact.quant.points == tuple(
        point for point in model.quant.points if (point.tensor, point.role) != ("2", TensorRole.OUTPUT)
    ), "all but that of the logits, which stay float"
    found = {(point.tensor, point.role): point for point in model.quant.points}
    scales = {t.name: numpy_helper.to_array(t) for t in onnx.load(artifact.path).graph.initializer}
    assert float(scales["input_scale"]) == pytest.approx(4 / 255)
    assert int(scales["input_zero_point"]) == 64
    assert float(scales["1/Relu_scale"]) == pytest.approx(2.5 / 255)

    def to_integers(values, point, low, high):
        scale, zero = np.array(point.scale, np.float32), np.array(point.zero_point)
        if point.axis is not None:
            scale, zero = scale[:, None], zero[:, None]
        return np.clip(np.round(values / scale) + zero, low, high) - zero

    def layer(number, inputs, point):
        weights, bias = (value.detach().numpy() for value in (known[number].weight, known[number].bias))
        grid = found[str(number), TensorRole.WEIGHT]
        step = point.scale[0] * np.array(grid.scale)
        total = to_integers(inputs, point, 0, 255) @ to_integers(weights, grid, -127, 127).T + np.round(bias / step)
        return total * step

    inputs = rows(50, (2,))
    hidden = np.maximum(layer(0, inputs, found["input", TensorRole.INPUT]), 0)
    expected = layer(2, hidden, found["1/relu", TensorRole.OUTPUT])
    answers = open_session(artifact).run(inputs)
    # a hidden value that falls on the middle of two integers may round either way
    assert np.isclose(answers, expected, atol=1e-5).mean() > 0.97
    assert np.abs(answers - expected).max() < 4.0 * 2.5 / 255 * 1.01


@pytest.mark.parametrize(
    ("name", "shape", "layers"),
    [
        pytest.param("mobilenet_v3_small", (3, 28, 28), 54, marks=pytest.mark.slow),  # 52 convolutions, 2 dense layers
        ("resnet8", (3, 16, 16), 10),
        ("ds_conv1d", (6, 128), 8),
        ("mlp", (30,), 3),
    ],
)
def test_every_layer_of_the_zoo_is_integer_and_the_file_is_its_simulation(
    name, shape, layers, wrap, integers, ends, rows, tmp_path
):
    model = wrap(build(name, shape, 3, seed=0).module, shape, 3)
    counted = sum(isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear) for part in model.module.modules())
    inputs = rows(96, shape)
    whole = EXPORTER.export(model, tmp_path / "float.onnx", **ends(model))
    exact = open_session(whole).run(inputs)
    with torch.no_grad():
        assert np.abs(exact - model.module(torch.from_numpy(inputs)).numpy()).max() < 1e-4
    int8 = integers(model, inputs)
    artifact = EXPORTER.export(int8, tmp_path / "int8.onnx", **ends(model))
    ops = artifact.integer_ops
    assert (
        (ops.integer, ops.floating, ops.expected, ops.left_float)
        == (layers, 0, layers, ())
        == (counted, 0, counted, ())
    )
    assert artifact.precision == "int8"
    assert artifact.size_bytes < (0.29 if whole.size_bytes > 1_000_000 else 0.65) * whole.size_bytes
    answers = open_session(artifact).run(inputs)
    graph = traced(int8)
    with torch.no_grad():
        simulation = simulated(graph, artifact.quant.points, torch.from_numpy(inputs), (logits(graph),)).numpy()
    # a value near the middle of two integers may round either way, and moves what follows
    assert np.median(np.abs(answers - simulation)) < 1e-5 * np.abs(simulation).max()
    assert np.corrcoef(answers.ravel(), exact.ravel())[0, 1] > 0.95
    assert (answers.argmax(1) == exact.argmax(1)).mean() > 0.85
    weights = {point.tensor for point in artifact.quant.points if point.role is TensorRole.WEIGHT}
    assert weights <= dict(model.module.named_modules()).keys()
    assert len(weights) == layers


def test_what_is_kept_stays_float_and_is_named(wrap, integers, ends, rows, tmp_path):
    shape = (6, 64)
    rule = QuantRule(keep=("head", "blocks.0"))
    net = nn.Sequential()
    net.add_module("stem", nn.Sequential(nn.Conv1d(6, 8, 3, padding=1, bias=False), nn.BatchNorm1d(8), nn.ReLU()))
    net.add_module("blocks", nn.Sequential(nn.Conv1d(8, 8, 3), nn.Conv1d(8, 8, 3)))
    net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten()))
    net.add_module("head", nn.Linear(8, 2))
    model = integers(wrap(net, shape, 2), rows(16, shape), rule)
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    assert artifact.integer_ops.left_float == ("blocks.0", "head") == artifact.quant.stays_float
    assert (artifact.integer_ops.integer, artifact.integer_ops.expected) == (2, 2)
    assert {p.tensor for p in artifact.quant.points if p.role is TensorRole.WEIGHT} == {"stem.0", "blocks.1"}
    # without this entry the runtime would quantize blocks.0 itself, since Q and DQ stand around it
    entry = open_session(artifact)._session.get_session_options().get_session_config_entry(KEEPS_FLOAT[0])
    assert entry == KEEPS_FLOAT[1]
    file = artifact.path.read_bytes()
    converted = {node.name for node in optimised(file, keeps_float=False).graph.node if node.op_type == "QLinearConv"}
    assert any(name.startswith("blocks.0") for name in converted)


def test_bits_that_the_runtime_cannot_compute_are_refused_before_any_work():
    EXPORTER.check_rule(QuantRule())
    EXPORTER.check_rule(QuantRule(weight_bits=4))
    with pytest.raises(ModelError, match="8-bit weights with 4-bit activations"):
        EXPORTER.check_rule(QuantRule(activation_bits=4))
    with pytest.raises(ModelError, match="one scale per channel or tensor"):
        EXPORTER.check_rule(QuantRule(group_size=32))


def test_a_few_four_bit_weights_lie_on_their_grid_in_int8(known, wrap, integers, ends, rows, tmp_path):
    model = integers(wrap(known, (2,), 3), rows(64, (2,)), QuantRule(weight_bits=4))
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(artifact.path).graph.initializer}
    assert stored["2.weight_quantized"].dtype == np.int8
    assert np.abs(stored["2.weight_quantized"]).max() == 7
    assert artifact.integer_ops.floating == 0


def test_the_same_model_gives_the_same_bytes(known, wrap, integers, ends, rows, tmp_path):
    model = integers(wrap(known, (2,), 3), rows(20, (2,)))
    first, again = (EXPORTER.export(model, tmp_path / name, **ends(model)) for name in ("first.onnx", "again.onnx"))
    assert first.sha256 == again.sha256


def test_a_tensor_without_a_grid_is_refused_by_name(known, wrap, integers, ends, tmp_path):
    model = integers(wrap(known, (2,), 3), CALIBRATION)
    fewer = tuple(point for point in model.quant.points if point.tensor != "1/relu")
    short = replace(model, quant=model.quant.model_copy(update={"points": fewer}))
    with pytest.raises(ModelError, match="1 tensors of the ONNX file without a grid: 1/Relu"):
        EXPORTER.export(short, tmp_path / "model.onnx", **ends(model))


def test_one_scale_per_tensor_where_it_is_asked_for(known, wrap, integers, ends, tmp_path):
    model = integers(wrap(known, (2,), 3), CALIBRATION, QuantRule(per_channel=False))
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(artifact.path).graph.initializer}
    assert stored["2.weight_scale"].reshape(-1) == pytest.approx([4.0 / 127])


def test_the_logits_are_not_on_a_grid(known, wrap, integers, ends, rows, tmp_path):
    model = integers(wrap(known, (2,), 3), CALIBRATION)
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    answers = open_session(artifact).run(rows(3000, (2,)) * 0.5 + 1)
    assert max(len(np.unique(answers[:, column])) for column in range(3)) > 256
    assert onnx.load(artifact.path).graph.node[-1].op_type == "Gemm"


def test_quantizing_says_nothing_and_holds_no_paths(known, wrap, integers, ends, tmp_path, capfd, caplog):
    model = integers(wrap(known, (2,), 3), CALIBRATION)
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]
    for found in (b"/", b"site-packages", b"onnx.quant"):
        assert found not in artifact.path.read_bytes().replace(b"1/Relu", b"")


def test_a_layer_and_its_relu6_are_one_operation(wrap, integers, ends, rows, tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Flatten(), nn.Linear(64, 2))
    inputs = rows(64, (1, 6, 6)) * 6
    model = integers(wrap(net, (1, 6, 6), 2), inputs)
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    tensors = [point.tensor for point in artifact.quant.points if point.role is not TensorRole.WEIGHT]
    assert tensors == ["input", "1/hardtanh", "3/hardtanh"]
    assert artifact.integer_ops.integer == 3
    with torch.no_grad():
        simulation = simulated(traced(model), artifact.quant.points, torch.from_numpy(inputs)).numpy()
    # a value in the middle of two integers may round either way
    assert np.median(np.abs(open_session(artifact).run(inputs) - simulation)) < 1e-5 * np.abs(simulation).max()
