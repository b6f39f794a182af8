"""Integer weights of dense layers: packed by hand, exact in the runtime, and as small as their bits."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from galenic.compress.quantize.dynamic_int8 import quantize_dense
from galenic.compress.quantize.half import HalfPrecision, to_half
from galenic.exporters.onnx_dense import packed
from galenic.exporters.onnxruntime import EXPORTER
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule
from galenic.runtimes.load import open_session
from galenic.zoo.build import build


def test_four_bits_are_packed_two_to_a_byte_low_half_first() -> None:
    integers = np.array([[-7, 7, 0, 1], [3, -1, 2, 0]])
    found = packed(integers, 4, 2)
    assert found.shape == (2, 2, 1)
    # -7 + 8 = 1 and 7 + 8 = 15: 0xf1; 8 and 9: 0x98; 11 and 7: 0x7b; 10 and 8: 0x8a
    assert found[:, :, 0].tolist() == [[0xF1, 0x98], [0x7B, 0x8A]]
    assert packed(np.array([[-127, 5, 127]]), 8, 2).tolist() == [[[1, 133], [255, 128]]], "filled up with zero: 128"


@pytest.mark.parametrize(("bits", "group"), [(8, 0), (4, 0), (4, 32), (3, 0)])
def test_weights_alone_give_what_the_rounded_module_gives(bits, group, wrap, ends, rows, tmp_path) -> None:
    shape = (64,)
    model = wrap(build("mlp", shape, 5, options={"hidden": [96, 80]}).module, shape, 5)
    whole = EXPORTER.export(model, tmp_path / "float.onnx", **ends(model))
    rule = QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=bits, group_size=group)
    made = quantize_dense(model, rule)
    artifact = EXPORTER.export(made, tmp_path / "model.onnx", **ends(model))
    inputs = rows(30, shape)
    with torch.no_grad():
        expected = made.module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(open_session(artifact).run(inputs), expected, atol=1e-4)
    assert artifact.precision == f"weights-int{bits}"
    assert (artifact.integer_ops.integer, artifact.integer_ops.floating) == (0, 3)
    assert artifact.size_bytes < (0.35 if bits == 8 else 0.22) * whole.size_bytes


def test_dynamic_layers_are_integer_and_rows_do_not_depend_on_each_other(wrap, ends, rows, tmp_path) -> None:
    shape = (64,)
    model = wrap(build("mlp", shape, 5, options={"hidden": [96, 80]}).module, shape, 5)
    made = quantize_dense(model, QuantRule(arithmetic=Arithmetic.DYNAMIC))
    artifact = EXPORTER.export(made, tmp_path / "model.onnx", **ends(model))
    session, inputs = open_session(artifact), rows(20, shape)
    inputs[3] *= 1000
    together = session.run(inputs)
    alone = np.concatenate([session.run(inputs[n : n + 1]) for n in range(20)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        exact = made.module(torch.from_numpy(inputs)).numpy()
    assert np.abs(together - exact).max() > 0, "the activations are rounded too"
    assert np.abs(together[4:] - exact[4:]).max() < 0.05 * np.abs(exact[4:]).max()
    assert (artifact.integer_ops.integer, artifact.integer_ops.floating, artifact.integer_ops.expected) == (3, 0, 3)


def test_what_the_operation_cannot_hold_is_refused_where_activations_are_rounded_and_else_stored(
    wrap, ends, rows, tmp_path
) -> None:
    model = wrap(nn.Sequential(nn.Linear(24, 3)), (24,), 3)
    made = {
        arithmetic: quantize_dense(model, QuantRule(arithmetic=arithmetic, weight_bits=4, group_size=12))
        for arithmetic in (Arithmetic.WEIGHTS, Arithmetic.DYNAMIC)
    }
    with pytest.raises(ModelError, match="0, Gemm with dynamic 4-bit weights in groups of 12"):
        EXPORTER.export(made[Arithmetic.DYNAMIC], tmp_path / "model.onnx", **ends(model))
    artifact = EXPORTER.export(made[Arithmetic.WEIGHTS], tmp_path / "model.onnx", **ends(model))
    assert [node.op_type for node in onnx.load(artifact.path).graph.node] == ["Cast", "Mul", "Reshape", "Gemm"]
    inputs = rows(5, (24,))
    with torch.no_grad():
        expected = made[Arithmetic.WEIGHTS].module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(open_session(artifact).run(inputs), expected, atol=1e-5)


def test_float16_halves_the_file_and_keeps_float_ends(wrap, ends, rows, tmp_path) -> None:
    shape = (64,)
    model = wrap(build("mlp", shape, 5, options={"hidden": [96, 80]}).module, shape, 5)
    whole = EXPORTER.export(model, tmp_path / "float.onnx", **ends(model))
    artifact = EXPORTER.export(to_half(model, HalfPrecision().rule), tmp_path / "half.onnx", **ends(model))
    assert artifact.precision == "float16"
    assert artifact.size_bytes < 0.55 * whole.size_bytes
    inputs = rows(30, shape)
    exact = open_session(whole).run(inputs)
    assert 0 < np.abs(open_session(artifact).run(inputs) - exact).max() < 5e-3 * np.abs(exact).max()
    assert onnx.load(artifact.path).graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_an_arithmetic_without_kernels_is_refused_before_any_work() -> None:
    with pytest.raises(ModelError, match="bfloat16 for onnxruntime"):
        EXPORTER.check_rule(QuantRule(arithmetic=Arithmetic.BFLOAT16))
