"""ONNX files for TensorRT: by its rules, on symmetric grids, and on ONNX Runtime's processor as they are simulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.half import HalfPrecision, to_half
from galenic.compress.quantize.int4 import quantize_weights
from galenic.compress.quantize.places import logits
from galenic.compress.quantize.simulate import simulated
from galenic.exporters.tensorrt import EXPORTER
from galenic.exporters.tensorrt_grids import symmetric_point, symmetric_scale, symmetric_spec
from galenic.exporters.tensorrt_rules import rules
from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantPoint, QuantRule, QuantSpec, TensorRole
from galenic.runtimes import tensorrt
from galenic.runtimes.load import open_session
from galenic.zoo.graph import traced

SHAPE = (2, 8, 8)
INT4 = QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=4, activation_bits=32, group_size=64)


def net() -> nn.Sequential:
    """A ReLU, a ReLU6 and a gate behind convolutions, and a dense layer."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.SiLU(),
        nn.Conv2d(4, 4, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def on_the_processor(artifact: Artifact, inputs: np.ndarray) -> np.ndarray:
    """What the graph of the file itself answers."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(artifact.path), options, providers=["CPUExecutionProvider"])
    answers: np.ndarray = session.run(None, {"input": inputs})[0]
    return answers


def test_the_symmetric_scale_of_an_unsigned_grid() -> None:
    # 0.1 * 255 / 127, 0.1 * 128 / 127 and 0.1 * 200 / 127
    assert symmetric_scale(0.1, 0) == pytest.approx(0.200787, rel=1e-5)
    assert symmetric_scale(0.1, 128) == symmetric_scale(0.1, 127) == pytest.approx(0.100787, rel=1e-5)
    assert symmetric_scale(0.1, 200) == pytest.approx(0.157480, rel=1e-5)
    # gates: a half is an integer on each
    assert symmetric_scale(1 / 256, 0) == 1 / 128
    assert 0.5 / symmetric_scale(float(np.float32(1 / 254)), 0) == pytest.approx(63)


def test_points_become_symmetric_and_weights_stay() -> None:
    def point(role: TensorRole, zero: int) -> QuantPoint:
        return QuantPoint(tensor="t", role=role, bits=8, scale=(0.1,), zero_point=(zero,))

    weight, output = point(TensorRole.WEIGHT, 0), point(TensorRole.OUTPUT, 0)
    assert symmetric_point(weight) is weight
    assert symmetric_point(output).zero_point == (128,)
    spec = symmetric_spec(
        QuantSpec(rule=QuantRule(), points=(weight, output, point(TensorRole.INPUT, 7)), notes=("n",))
    )
    assert spec.notes[0] == "n"
    assert "of 2 tensors 1 are never negative" in spec.notes[1]


@pytest.fixture(scope="module")
def made(wrap, integers, ends, rows, tmp_path_factory):
    """(model, artifact) of the net in INT8, with one layer kept float where a pattern is given."""
    folder, found = tmp_path_factory.mktemp("tensorrt"), {}

    def make(*keep: str):
        if keep not in found:
            model = integers(wrap(net(), SHAPE, 3), rows(64, SHAPE), QuantRule(keep=keep))
            found[keep] = model, EXPORTER.export(model, folder / f"{len(keep)}.onnx", **ends(model))
        return found[keep]

    return make


@pytest.mark.slow
def test_int8_keeps_the_rules_and_is_counted_by_them(made) -> None:
    _, artifact = made()
    model = onnx.load(artifact.path)
    assert rules(model) == []
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (4, 0, 4, ())
    assert artifact.precision == "int8"
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    assert {one.data_type for one in stored.values()} <= {TensorProto.INT8, TensorProto.FLOAT, TensorProto.INT64}
    assert {"1/Relu", "5/Clip"} <= {node.name for node in model.graph.node}, "a symmetric grid does not cut below 0"
    torch_bias = made()[0].module[0].bias.detach().numpy()
    np.testing.assert_allclose(numpy_helper.to_array(stored["0.bias"]), torch_bias, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [(), ("2",)])
def test_int8_answers_as_its_own_points_are_simulated(keep, made, rows) -> None:
    model, artifact = made(*keep)
    graph, inputs = traced(model), rows(50, SHAPE, seed=3)
    with torch.no_grad():
        expected = simulated(graph, artifact.quant.points, torch.from_numpy(inputs), (logits(graph),)).numpy()
    found = on_the_processor(artifact, inputs)
    assert np.median(np.abs(found - expected)) < 1e-5 * np.abs(expected).max()


@pytest.mark.slow
def test_a_kept_layer_is_float_on_both_sides(made) -> None:
    _, artifact = made("2")
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (3, 1, 3, ("2",))
    model = onnx.load(artifact.path)
    assert rules(model) == []
    layer = next(node for node in model.graph.node if node.name == "2")
    makers = {node.output[0]: node.op_type for node in model.graph.node}
    assert "DequantizeLinear" not in {makers.get(name) for name in layer.input}


@pytest.mark.slow
@pytest.mark.parametrize("keep", [(), ("2",)])
def test_the_graph_that_the_provider_gets_of_onnx_runtime_keeps_the_rules_too(
    made, keep, monkeypatch, tmp_path
) -> None:
    """The session's own options, on the processor; ONNX Runtime's basic optimisations, which they turn off, break them."""
    _, artifact = made(*keep)
    (tmp_path / "card").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tensorrt, "CARDS", (tmp_path / "card",))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [tensorrt.PROVIDER])
    real, asked = onnxruntime.InferenceSession, []

    class Caught(Exception):
        pass

    def catch(data, options, providers):
        asked.append((data, options))
        raise Caught

    monkeypatch.setattr(onnxruntime, "InferenceSession", catch)
    with pytest.raises(ModelError):
        open_session(artifact)
    data, options = asked[0]

    def given_on(options) -> onnx.ModelProto:
        path = tmp_path / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
        real(data, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)

    assert rules(given_on(options)) == []
    usual = onnxruntime.SessionOptions()
    usual.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if not keep:
        assert {one.rule for one in rules(given_on(usual))} == {"types", "biases"}


@pytest.mark.parametrize("half", [False, True])
def test_floats_keep_the_rules_and_answer_as_torch_does(half, wrap, ends, rows, tmp_path) -> None:
    model = wrap(net(), SHAPE, 3)
    whole = EXPORTER.export(model, tmp_path / "float.onnx", **ends(model))
    artifact = (
        EXPORTER.export(to_half(model, HalfPrecision().rule), tmp_path / "half.onnx", **ends(model)) if half else whole
    )
    assert artifact.precision == ("float16" if half else "float32")
    loaded = onnx.load(artifact.path)
    assert rules(loaded) == []
    assert {end.type.tensor_type.elem_type for end in (*loaded.graph.input, *loaded.graph.output)} == {
        TensorProto.FLOAT
    }
    kinds = {one.data_type for one in loaded.graph.initializer if "weight" in one.name}
    assert kinds == {TensorProto.FLOAT16 if half else TensorProto.FLOAT}
    inputs = rows(20, SHAPE)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(inputs)).numpy()
    bound = (1e-2 if half else 1e-5) * np.abs(expected).max()
    np.testing.assert_allclose(on_the_processor(artifact, inputs), expected, atol=bound)


def test_int4_weights_lie_in_blocks_two_to_a_byte(wrap, ends, rows, tmp_path) -> None:
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3))
    model = quantize_weights(wrap(dense, (128,), 3), INT4, in_batches(rows(8, (128,))))
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    assert artifact.precision == "weights-int4"
    assert (artifact.integer_ops.integer, artifact.integer_ops.floating) == (0, 2)
    loaded = onnx.load(artifact.path)
    assert rules(loaded) == []
    assert {one.version for one in loaded.opset_import if not one.domain} == {21}
    stored = {tensor.name: tensor for tensor in loaded.graph.initializer}
    four = [one for one in stored.values() if one.data_type == TensorProto.INT4]
    assert sorted(len(one.raw_data) for one in four) == [3 * 64 // 2, 128 * 64 // 2]
    weight = next(one for one in four if len(one.raw_data) == 128 * 64 // 2)
    scales = numpy_helper.to_array(stored[weight.name.replace(":int4", ":scales")])
    integers = numpy_helper.to_array(weight).astype(np.float32)
    turned = integers.shape == (128, 64)  # features first
    whole = integers * np.repeat(scales, 64, axis=0 if turned else 1)
    np.testing.assert_allclose(whole.T if turned else whole, model.module[0].weight.detach().numpy(), rtol=1e-6)
    inputs = rows(20, (128,))
    with torch.no_grad():
        expected = model.module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(on_the_processor(artifact, inputs), expected, atol=1e-4)


def test_int4_of_a_convolution_or_of_a_part_of_a_block_is_refused_by_name(wrap, ends, rows, tmp_path) -> None:
    conv = nn.Sequential(nn.Conv2d(64, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model = quantize_weights(wrap(conv, (64, 2, 2), 3), INT4, in_batches(rows(8, (64, 2, 2))))
    with pytest.raises(ModelError, match=r"0, Conv with 4-bit weights .*keep it float: keep = \['0'\]"):
        EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    odd = quantize_weights(wrap(nn.Sequential(nn.Linear(96, 3)), (96,), 3), INT4, in_batches(rows(8, (96,))))
    with pytest.raises(ModelError, match="dense layers whose input features come in whole groups of 64 or 128"):
        EXPORTER.export(odd, tmp_path / "model.onnx", **ends(odd))
    assert not list(Path(tmp_path).iterdir())


def test_what_breaks_a_rule_is_refused_with_the_node_and_the_rule(wrap, ends, tmp_path) -> None:
    model = wrap(nn.Sequential(nn.Conv1d(2, 4, 3), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(12, 3)), (2, 8), 3)
    with pytest.raises(ModelError, match=r"1/MaxPool: a pool over 1 dimensions \(pools\)"):
        EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (QuantRule(arithmetic=Arithmetic.DYNAMIC), "dynamic for tensorrt"),
        (QuantRule(arithmetic=Arithmetic.BFLOAT16), "bfloat16 for tensorrt"),
        (INT4.model_copy(update={"weight_bits": 8}), "8-bit weights in groups of 64"),
        (INT4.model_copy(update={"group_size": 32}), "4-bit weights in groups of 32"),
        (QuantRule(activation_bits=4), "4-bit activations for tensorrt"),
    ],
)
def test_quantizations_that_it_does_not_have_are_refused_before_any_work(rule, words) -> None:
    with pytest.raises(ModelError, match=words):
        EXPORTER.check_rule(rule)
    EXPORTER.check_rule(INT4.model_copy(update={"group_size": 128}))
