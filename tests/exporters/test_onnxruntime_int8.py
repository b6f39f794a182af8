from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from galenic.exporters.onnx_coverage import KEEPS_FLOAT, optimised
from galenic.exporters.onnxruntime import check_rule, export
from galenic.record.errors import ModelError
from galenic.record.quant import Observer, QuantPoint, QuantRule, QuantSpec, TensorRole
from galenic.runtimes.load import open_session
from galenic.zoo.build import build

CALIBRATION = np.array([[-1.0, 0.5], [3.0, 2.0]], np.float32)
# relu(W0 x + b0) of the two rows: (-1 - 1, -.5 + .125 + .5) -> (0, .125) and (3 - 4, 1.5 + .5 + .5) -> (0, 2.5)


def points(artifact) -> dict[tuple[str, TensorRole], QuantPoint]:
    return {(point.tensor, point.role): point for point in artifact.quant.points}


def test_scales_and_zero_points_are_those_worked_out_by_hand(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3, QuantRule())
    found = points(export(model, tmp_path / "model.onnx", calibration=CALIBRATION, **ends(model)))
    entry = found["input", TensorRole.INPUT]
    # the inputs lie in [-1, 3]: scale 4 / 255, and -1 has to be integer 0, so the zero is at 255 / 4 = 63.75 -> 64
    assert entry.scale == pytest.approx((4 / 255,))
    assert (entry.zero_point, entry.bits, entry.axis) == ((64,), 8, None)
    hidden = found["1/Relu", TensorRole.OUTPUT]
    assert hidden.scale == pytest.approx((2.5 / 255,))
    assert hidden.zero_point == (0,)
    # symmetric, one scale per output: the largest weight of each is 127
    first = found["0", TensorRole.WEIGHT]
    assert first.scale == pytest.approx((2.0 / 127, 0.5 / 127))
    assert (first.zero_point, first.bits, first.axis) == ((0, 0), 8, 0)
    assert found["2", TensorRole.WEIGHT].scale == pytest.approx((1.0 / 127, 4.0 / 127, 2.0 / 127))
    assert len(found) == 4  # the logits have none: they stay float


def test_the_file_computes_what_integers_by_hand_give(known, wrap, ends, rows, tmp_path):
    model = wrap(known, (2,), 3, QuantRule())
    artifact = export(model, tmp_path / "model.onnx", calibration=CALIBRATION, **ends(model))
    found = points(artifact)

    def integers(values, point, low, high):
        scale, zero = np.array(point.scale, np.float32), np.array(point.zero_point)
        if point.axis is not None:
            scale, zero = scale[:, None], zero[:, None]
        return np.clip(np.round(values / scale) + zero, low, high) - zero

    def layer(number, inputs, point):
        weights, bias = (value.detach().numpy() for value in (known[number].weight, known[number].bias))
        grid = found[str(number), TensorRole.WEIGHT]
        step = point.scale[0] * np.array(grid.scale)
        total = integers(inputs, point, 0, 255) @ integers(weights, grid, -128, 127).T + np.round(bias / step)
        return total * step

    inputs = rows(50, (2,))
    hidden = np.maximum(layer(0, inputs, found["input", TensorRole.INPUT]), 0)
    expected = layer(2, hidden, found["1/Relu", TensorRole.OUTPUT])
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
def test_every_layer_of_the_zoo_is_integer_and_agrees_with_float(name, shape, layers, wrap, ends, rows, tmp_path):
    model = wrap(build(name, shape, 3, seed=0).module, shape, 3)
    counted = sum(isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear) for part in model.module.modules())
    inputs = rows(96, shape)
    whole = export(model, tmp_path / "float.onnx", **ends(model))
    exact = open_session(whole).run(inputs)
    with torch.no_grad():
        assert np.abs(exact - model.module(torch.from_numpy(inputs)).numpy()).max() < 1e-4
    int8 = replace(model, quant=QuantSpec(rule=QuantRule()))
    artifact = export(int8, tmp_path / "int8.onnx", calibration=inputs, **ends(model))
    ops = artifact.integer_ops
    assert (
        (ops.integer, ops.floating, ops.expected, ops.left_float)
        == (layers, 0, layers, ())
        == (counted, 0, counted, ())
    )
    assert artifact.precision == "int8"
    assert artifact.size_bytes < (0.29 if whole.size_bytes > 1_000_000 else 0.65) * whole.size_bytes
    answers = open_session(artifact).run(inputs)
    assert np.corrcoef(answers.ravel(), exact.ravel())[0, 1] > 0.95
    assert (answers.argmax(1) == exact.argmax(1)).mean() > 0.85
    weights = {point.tensor for point in artifact.quant.points if point.role is TensorRole.WEIGHT}
    assert weights <= dict(model.module.named_modules()).keys()
    assert len(weights) == layers


def test_what_is_kept_stays_float_and_is_named(wrap, ends, rows, tmp_path):
    shape = (6, 64)
    rule = QuantRule(keep=("head", "blocks.0"))
    net = nn.Sequential()
    net.add_module("stem", nn.Sequential(nn.Conv1d(6, 8, 3, padding=1, bias=False), nn.BatchNorm1d(8), nn.ReLU()))
    net.add_module("blocks", nn.Sequential(nn.Conv1d(8, 8, 3), nn.Conv1d(8, 8, 3)))
    net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten()))
    net.add_module("head", nn.Linear(8, 2))
    model = wrap(net, shape, 2, rule)
    artifact = export(model, tmp_path / "model.onnx", calibration=rows(16, shape), **ends(model))
    assert artifact.integer_ops.left_float == ("blocks.0", "head") == artifact.quant.stays_float
    assert (artifact.integer_ops.integer, artifact.integer_ops.expected) == (2, 2)
    assert {p.tensor for p in artifact.quant.points if p.role is TensorRole.WEIGHT} == {"stem.0", "blocks.1"}
    # without this entry the runtime would quantize blocks.0 itself, since Q and DQ stand around it
    entry = open_session(artifact)._session.get_session_options().get_session_config_entry(KEEPS_FLOAT[0])
    assert entry == KEEPS_FLOAT[1]
    file = artifact.path.read_bytes()
    converted = {node.name for node in optimised(file, keeps_float=False).graph.node if node.op_type == "QLinearConv"}
    assert any(name.startswith("blocks.0") for name in converted)


def test_a_pattern_that_keeps_nothing_is_refused_with_the_nearest(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3, QuantRule(keep=("3",)))
    with pytest.raises(ModelError, match=r"keep = '3', which matches no layer; expected a pattern for one of 0, 2"):
        export(model, tmp_path / "model.onnx", calibration=CALIBRATION, **ends(model))


@pytest.mark.slow
def test_the_points_of_a_file_give_the_same_file_again_without_calibration(wrap, ends, rows, tmp_path):
    shape = (6, 64)
    model = wrap(build("ds_conv1d", shape, 3, seed=0).module, shape, 3, QuantRule())
    first = export(model, tmp_path / "first.onnx", calibration=rows(20, shape), **ends(model))
    again = export(replace(model, quant=first.quant), tmp_path / "again.onnx", **ends(model))
    assert again.quant == first.quant
    assert again.sha256 == first.sha256


def test_given_points_are_what_the_file_holds(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3, QuantRule())
    artifact = export(model, tmp_path / "model.onnx", calibration=CALIBRATION, **ends(model))
    given = tuple(
        point.model_copy(update={"scale": (0.125,), "zero_point": (7,)}) if point.tensor == "1/Relu" else point
        for point in artifact.quant.points
    )
    changed = replace(model, quant=QuantSpec(rule=QuantRule(), points=given))
    assert export(changed, tmp_path / "changed.onnx", **ends(model)).quant.points == given


def test_points_of_another_model_are_refused(known, wrap, ends, tmp_path):
    stray = QuantPoint(tensor="layer9", role=TensorRole.WEIGHT, bits=8, scale=(1.0,), zero_point=(0,))
    model = replace(wrap(known, (2,), 3), quant=QuantSpec(rule=QuantRule(), points=(stray,)))
    with pytest.raises(ModelError, match="the weight of layer9"):
        export(model, tmp_path / "model.onnx", **ends(model))


def test_one_scale_per_tensor_where_it_is_asked_for(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3, QuantRule(per_channel=False))
    found = points(export(model, tmp_path / "model.onnx", calibration=CALIBRATION, **ends(model)))
    assert found["2", TensorRole.WEIGHT].scale == pytest.approx((4.0 / 127,))
    assert found["2", TensorRole.WEIGHT].axis is None


@pytest.mark.parametrize("observer", [Observer.PERCENTILE, Observer.ENTROPY])
def test_an_outlier_stretches_min_max_but_not_the_other_observers(observer, known, wrap, ends, rows, tmp_path):
    calibration = rows(20_000, (2,))
    calibration[7, 0] = 100.0
    found = {}
    for one in (Observer.MIN_MAX, observer):
        model = wrap(known, (2,), 3, QuantRule(observer=one))
        artifact = export(model, tmp_path / "model.onnx", calibration=calibration, **ends(model))
        assert artifact.integer_ops.floating == 0
        found[one] = points(artifact)["input", TensorRole.INPUT].scale[0] * 255
    assert found[Observer.MIN_MAX] == pytest.approx(100.0 - calibration.min())
    assert 4.0 < found[observer] < 40.0


def test_the_logits_are_not_on_a_grid(known, wrap, ends, rows, tmp_path):
    model = wrap(known, (2,), 3, QuantRule())
    artifact = export(model, tmp_path / "model.onnx", calibration=CALIBRATION, **ends(model))
    answers = open_session(artifact).run(rows(3000, (2,)) * 0.5 + 1)
    assert max(len(np.unique(answers[:, column])) for column in range(3)) > 256
    assert onnx.load(artifact.path).graph.node[-1].op_type == "Gemm"


def test_calibration_is_needed_and_has_to_fit(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3, QuantRule())
    for calibration, given in ((None, "missing"), (np.zeros((4, 3), np.float32), r"of shape \(4, 3\)")):
        with pytest.raises(ModelError, match=f"calibration rows {given}"):
            export(model, tmp_path / "model.onnx", calibration=calibration, **ends(model))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_layer_that_is_not_finite_on_the_calibration_rows_is_named(value, known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3, QuantRule())
    with torch.no_grad():
        known[2].weight[0, 0] = value
    with pytest.raises(ModelError, match="the layer logits gives"):
        export(model, tmp_path / "model.onnx", calibration=CALIBRATION, **ends(model))


def test_bits_that_the_runtime_cannot_compute_are_refused_before_any_work():
    check_rule(QuantRule())
    with pytest.raises(ModelError, match="4-bit weights with 8-bit activations"):
        check_rule(QuantRule(weight_bits=4))


def test_quantizing_says_nothing_and_holds_no_paths(known, wrap, ends, tmp_path, capfd, caplog):
    model = wrap(known, (2,), 3, QuantRule(observer=Observer.ENTROPY))
    artifact = export(model, tmp_path / "model.onnx", calibration=CALIBRATION, **ends(model))
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]
    for found in (b"/", b"site-packages", b"onnx.quant"):
        assert found not in artifact.path.read_bytes().replace(b"1/Relu", b"")
