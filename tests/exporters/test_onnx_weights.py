"""Integers that are stored small and computed with as if they were not: in the bytes, in ONNX's own evaluator, in both runtimes."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.int4 import quantize_weights
from galenic.compress.quantize.places import logits
from galenic.compress.quantize.simulate import simulated
from galenic.exporters.load import exporter_for
from galenic.exporters.onnx_coverage import count_integer, optimised
from galenic.exporters.onnx_graph import OPSET, to_graph
from galenic.exporters.onnx_int8 import lower_int8
from galenic.exporters.onnx_weights import OPSET_OF_INT4, opset_for, opset_of, store_weights
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantPoint, QuantRule, QuantSpec, TensorRole
from galenic.runtimes.load import open_session
from galenic.zoo.graph import traced

both = pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])


def stored(artifact) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in onnx.load(artifact.path).graph.initializer}


def one_layer(op: str, weight: np.ndarray, **attributes) -> onnx.ModelProto:
    """One operation with this weight, of opset 21."""
    rank = 4 if op.startswith("Conv") else 2
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list("abcd"[:rank])) for name in ("input", "logits")]
    node = helper.make_node(op, ["input", "w"], ["logits"], name="layer", **attributes)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET_OF_INT4)], ir_version=10)


def weight_point(bits: int, scales: np.ndarray, group_size: int = 0) -> QuantPoint:
    return QuantPoint(
        tensor="layer",
        role=TensorRole.WEIGHT,
        bits=bits,
        scale=tuple(map(float, scales.reshape(-1))),
        zero_point=(0,) * scales.size,
        axis=0 if scales.size > 1 else None,
        group_size=group_size,
    )


def test_the_bytes_of_four_bits() -> None:
    weight = np.float32([[0.5, -3.5], [2.0, 1.0]])  # 1, -7 of .5; 2, 1 of 1
    model = one_layer("Gemm", weight, transB=1)
    store_weights(model, [(model.graph.node[0], weight_point(4, np.float32([0.5, 1.0])))])
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    assert found["w:int"].data_type == TensorProto.INT4
    assert found["w:int"].raw_data == bytes([0x91, 0x12])  # -7 is 9 in four bits, the first in the lower half
    assert numpy_helper.to_array(found["w:scales"]).tolist() == [[0.5], [1.0]]
    assert [node.op_type for node in model.graph.node] == ["Cast", "Mul", "Gemm"]
    odd = one_layer("Gemm", np.float32([[1.0, 2.0, -1.0]]), transB=1)
    store_weights(odd, [(odd.graph.node[0], weight_point(4, np.float32([1.0])))])
    assert odd.graph.initializer[0].raw_data == bytes([0x21, 0x0F])


LAYERS = {
    "Gemm, outputs first": ("Gemm", {"transB": 1}, lambda w: w, (3,)),
    "Gemm": ("Gemm", {}, lambda w: w.T, (3,)),
    "MatMul": ("MatMul", {}, lambda w: w.T, (3,)),
    "Conv": ("Conv", {}, lambda w: w.reshape(len(w), 2, 2, -1), (2, 4, 5)),
    "ConvTranspose": ("ConvTranspose", {}, lambda w: w.reshape(len(w), 2, 2, -1).swapaxes(0, 1), (2, 4, 5)),
}


@given(
    name=st.sampled_from(sorted(LAYERS)),
    bits=st.integers(2, 8),
    groups=st.sampled_from([1, 2, 6]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_what_is_made_of_the_integers_is_the_weight_itself(name: str, bits: int, groups: int, seed: int) -> None:
    op, attributes, arranged, shape = LAYERS[name]
    rng = np.random.default_rng(seed)
    most = 2 ** (bits - 1) - 1
    scales = rng.uniform(0.01, 1.0, (5, groups, 1)).astype(np.float32)
    integers = rng.integers(-most, most + 1, (5, groups, 12 // groups)).astype(np.float32)
    weight = np.ascontiguousarray(arranged((integers * scales).reshape(5, 12)))
    model = one_layer(op, weight, **attributes)
    inputs = rng.normal(size=(2, 12) if len(shape) == 1 else (2, *shape)).astype(np.float32)
    (expected,) = ReferenceEvaluator(model).run(None, {"input": inputs})
    store_weights(model, [(model.graph.node[0], weight_point(bits, scales, 12 // groups if groups > 1 else 0))])
    onnx.checker.check_model(model)
    assert {tensor.data_type for tensor in model.graph.initializer} >= {
        TensorProto.INT4 if bits <= 4 else TensorProto.INT8
    }
    (found,) = ReferenceEvaluator(model).run(None, {"input": inputs})
    np.testing.assert_array_equal(found, expected)


def test_a_weight_that_is_on_no_grid_is_refused_and_a_shared_one_is_stored_once() -> None:
    model = one_layer("Gemm", np.float32([[0.5, 0.3]]), transB=1)
    with pytest.raises(ModelError, match="a weight of layer that is not on the grid of its point"):
        store_weights(model, [(model.graph.node[0], weight_point(4, np.float32([0.5])))])
    model = one_layer("Gemm", np.float32([[0.5, 1.0]]), transB=1)
    node = model.graph.node[0]
    store_weights(model, [(node, weight_point(4, np.float32([0.5])))] * 2)
    assert [one.op_type for one in model.graph.node] == ["Cast", "Mul", "Gemm"]


def test_which_files_need_the_newer_opset() -> None:
    few, many = (QuantSpec(rule=QuantRule(), points=(weight_point(bits, np.float32([1.0])),)) for bits in (4, 8))
    assert [opset_for(spec) for spec in (None, many, few)] == [OPSET, OPSET, OPSET_OF_INT4]
    for arithmetic, opset in ((Arithmetic.WEIGHTS, OPSET_OF_INT4), (Arithmetic.DYNAMIC, OPSET)):
        assert opset_for(few.model_copy(update={"rule": QuantRule(arithmetic=arithmetic)})) == opset


def net(turned: bool) -> nn.Sequential:
    """Convolutions, in groups and not, the last one transposed or not, and a dense layer."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, groups=16, padding=1),
        nn.Hardswish(),
        nn.Conv2d(16, 24, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(24, 48, 2, 2) if turned else nn.Conv2d(24, 48, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 5),
    )


SHAPE = (4, 8, 8)


@both
def test_four_bits_with_eight_bit_activations_are_small_and_computed_on_integers(
    runtime, wrap, integers, ends, rows, tmp_path
) -> None:
    exporter = exporter_for(runtime)
    model = integers(wrap(net(turned=False), SHAPE, 5), rows(64, SHAPE), QuantRule(weight_bits=4))
    artifact = exporter.export(model, tmp_path / "w4a8.onnx", **ends(model))
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (5, 0, 5, ())
    assert artifact.precision == "w4a8"
    kinds = {name.removesuffix("_quantized:int"): one.data_type for name, one in stored(artifact).items()}
    four = {"0.weight", "5.weight", "7.weight", "10.weight"}
    assert {name for name, kind in kinds.items() if kind == TensorProto.INT4} == four
    assert "3.weight_quantized" in kinds, "144 weights: a Cast would take more than it saves"
    inputs = rows(50, SHAPE, seed=3)
    graph = traced(model)
    with torch.no_grad():
        expected = simulated(graph, artifact.quant.points, torch.from_numpy(inputs), (logits(graph),)).numpy()
    answers = open_session(artifact).run(inputs)
    assert np.median(np.abs(answers - expected)) < 1e-5 * np.abs(expected).max()


def test_the_same_in_whole_bytes_answers_the_same(wrap, integers, ends, rows, tmp_path) -> None:
    model = integers(wrap(net(turned=False), SHAPE, 5), rows(64, SHAPE), QuantRule(weight_bits=4))
    artifact = exporter_for("onnxruntime").export(model, tmp_path / "w4a8.onnx", **ends(model))
    whole = lower_int8(model, to_graph(model), count_integer)
    assert opset_of(onnx.load_from_string(whole.data)) == OPSET
    path = tmp_path / "whole.onnx"
    path.write_bytes(whole.data)
    other = artifact.model_copy(update={"path": path, "sha256": hashlib.sha256(whole.data).hexdigest()})
    inputs = rows(50, SHAPE, seed=3)
    np.testing.assert_array_equal(open_session(artifact).run(inputs), open_session(other).run(inputs))
    saved = (16 * 4 * 9 + 24 * 16 + 24 * 48 + 48 * 5) // 2
    labels = len(artifact.path.read_bytes()) - len(whole.data) + saved
    assert 0 < labels < 4 * 90 + 400, "four Casts, and the card"


@both
@pytest.mark.parametrize(("bits", "group"), [(8, 0), (4, 0), (4, 12), (3, 4)])
def test_integer_weights_alone_give_what_the_rounded_module_gives(
    runtime, bits, group, wrap, ends, rows, tmp_path
) -> None:
    exporter, model, inputs = exporter_for(runtime), wrap(net(turned=True), SHAPE, 5), rows(20, SHAPE)
    rule = QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=bits, activation_bits=32, group_size=group)
    exporter.check_rule(rule)
    made = quantize_weights(model, rule, in_batches(inputs))
    artifact = exporter.export(made, tmp_path / "model.onnx", **ends(model))
    with torch.no_grad():
        expected = made.module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(open_session(artifact).run(inputs), expected, atol=1e-5 * np.abs(expected).max())
    ops = artifact.integer_ops
    assert (artifact.precision, ops.integer, ops.floating, ops.expected) == (f"weights-int{bits}", 0, 5, 0)
    kinds = [one.data_type for name, one in stored(artifact).items() if name.endswith(":int")]
    assert set(kinds) == {TensorProto.INT4 if bits <= 4 else TensorProto.INT8}
    if runtime == "onnxruntime":
        left = {node.op_type for node in optimised(artifact.path.read_bytes()).graph.node}
        assert not left & {"Cast", "DequantizeLinear", "Transpose"}, "folded"
    again = exporter.export(made, tmp_path / "again.onnx", **ends(model))
    assert again.sha256 == artifact.sha256


@both
def test_weights_that_are_not_those_of_the_points_are_refused(runtime, wrap, ends, rows, tmp_path) -> None:
    model = wrap(net(turned=True), SHAPE, 5)
    rule = QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=4, activation_bits=32)
    made = quantize_weights(model, rule, in_batches(rows(4, SHAPE)))
    with pytest.raises(ModelError, match="for other weights"):
        exporter_for(runtime).export(replace(made, module=model.module), tmp_path / "model.onnx", **ends(model))
