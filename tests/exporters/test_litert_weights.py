"""Weights alone: four bits of every layer, and groups, which are the module's own weights again after DEQUANTIZE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.dynamic_int8 import quantize_dense
from galenic.compress.quantize.int4 import quantize_weights
from galenic.exporters.litert import EXPORTER
from galenic.exporters.litert_coverage import INT4, INT8, integers_of
from galenic.exporters.litert_file import kinds, operations, unpacked
from galenic.exporters.litert_graph import to_flatbuffer, with_biases
from galenic.exporters.litert_weights import hold_groups, packed_pairs
from galenic.exporters.matching import weights
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule
from galenic.runtimes.load import open_session
from galenic.zoo.graph import traced

SHAPE = (4, 6, 6)


def weights_rule(group_size: int = 0, bits: int = 4) -> QuantRule:
    return QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=bits, activation_bits=32, group_size=group_size)


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=9))
def test_pairs_are_read_back_as_litert_reads_them(values: list[int]) -> None:
    data = packed_pairs(np.array(values))
    assert len(data) == (len(values) + 1) // 2
    read = [((int(data[n // 2]) >> 4 * (n % 2)) + 8) % 16 - 8 for n in range(len(values))]
    assert read == values


def every_kind() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(12, 6, 2, 2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 5),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("group", "bits"), [(0, 4), (3, 4), (12, 4), (12, 8)])
def test_the_file_computes_with_the_modules_own_weights(group, bits, wrap, ends, rows, tmp_path) -> None:
    model, inputs = wrap(every_kind(), SHAPE, 5), rows(10, SHAPE)
    rule = weights_rule(group, bits)
    EXPORTER.check_rule(rule)
    made = quantize_weights(model, rule, in_batches(inputs))
    artifact = EXPORTER.export(made, tmp_path / "model.tflite", **ends(model))
    with torch.no_grad():
        expected = made.module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(open_session(artifact).run(inputs), expected, atol=2e-6 * np.abs(expected).max())
    ops = artifact.integer_ops
    assert (artifact.precision, ops.integer, ops.floating, ops.expected) == (f"weights-int{bits}", 0, 5, 0)
    file = unpacked(artifact.path.read_bytes())
    tensors = {tensor.name.decode(): tensor for tensor in file.subgraphs[0].tensors}
    counts = {"0": 36, "3": 9, "5": 8, "7": 48, "10": 24}  # weights of a channel
    for layer, count in counts.items():
        grouped = group and count % group == 0
        held = tensors[f"{layer}.weight{':q' if grouped else ''}"]
        assert held.type == (INT4 if bits == 4 else INT8), layer
        assert np.abs(integers_of(file, held)).max() <= 2 ** (bits - 1) - 1
        assert not grouped or list(held.shape)[1] == group
    assert kinds(file).count("DEQUANTIZE") == 5
    again = EXPORTER.export(made, tmp_path / "again.tflite", **ends(model))
    assert again.sha256 == artifact.sha256


@pytest.mark.slow
def test_a_signals_convolution_too(wrap, ends, rows, tmp_path) -> None:
    shape = (2, 9)
    net = nn.Sequential(nn.Conv1d(2, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Flatten(), nn.Linear(56, 3))
    model, inputs = wrap(net, shape, 3), rows(10, shape)
    made = quantize_weights(model, weights_rule(2), in_batches(inputs))
    artifact = EXPORTER.export(made, tmp_path / "model.tflite", **ends(model))
    with torch.no_grad():
        expected = made.module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(open_session(artifact).run(inputs), expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.slow
def test_weights_in_another_order_are_refused(wrap, rows) -> None:
    model = wrap(nn.Sequential(nn.Linear(12, 3)), (12,), 3)
    made = quantize_weights(model, weights_rule(3), in_batches(rows(4, (12,))))
    graph, data = traced(made), to_flatbuffer(with_biases(made, traced(made)))
    file, points = unpacked(data), weights(made.quant.points)
    tensor = next(one for one in file.subgraphs[0].tensors if one.name == b"0.weight")
    buffer = file.buffers[tensor.buffer]
    buffer.data = np.ascontiguousarray(buffer.data.view(np.float32).reshape(3, 12)[:, ::-1]).reshape(-1).view(np.uint8)
    with pytest.raises(ModelError, match="0, whose weights have another order in a LiteRT file than in groups of 3"):
        hold_groups(file, operations(file), graph, points)


@pytest.mark.slow
def test_large_integer_weights_lie_inside_of_the_file(wrap, ends, rows, tmp_path) -> None:
    """Where ai-edge-quantizer leaves them behind the flatbuffer, TFLite Micro would read zeros without a word."""
    shape = (600,)
    model = wrap(nn.Sequential(nn.Linear(600, 40), nn.ReLU(), nn.Linear(40, 3)), shape, 3)
    made = {
        "weights": quantize_weights(model, weights_rule(), in_batches(rows(4, shape))),
        "groups": quantize_weights(model, weights_rule(20), in_batches(rows(4, shape))),
        "dynamic": quantize_dense(model, QuantRule(arithmetic=Arithmetic.DYNAMIC, weight_bits=4)),
    }
    for name, one in made.items():
        artifact = EXPORTER.export(one, tmp_path / f"{name}.tflite", **ends(model))
        file = schema.Model.GetRootAsModel(artifact.path.read_bytes(), 0)
        buffers = [file.Buffers(number) for number in range(file.BuffersLength())]
        assert all((buffer.Offset(), buffer.Size()) == (0, 0) for buffer in buffers), name
        assert max(buffer.DataLength() for buffer in buffers) == 600 * 40 // 2, name
        inputs = rows(20, shape)
        with torch.no_grad():
            expected = one.module(torch.from_numpy(inputs)).numpy()
        error = np.abs(open_session(artifact).run(inputs) - expected).max() / np.abs(expected).max()
        assert error < (0.03 if name == "dynamic" else 1e-5), name
        if name == "dynamic":
            ops = artifact.integer_ops
            assert (artifact.precision, ops.integer, ops.expected) == ("dynamic-int4", 2, 2)


def test_groups_of_integers_that_are_computed_with_are_refused_before_any_work(wrap, ends, tmp_path) -> None:
    model = wrap(nn.Sequential(nn.Linear(12, 3)), (12,), 3)
    for arithmetic in (Arithmetic.DYNAMIC, Arithmetic.STATIC):
        rule = QuantRule(arithmetic=arithmetic, group_size=3)
        with pytest.raises(ModelError, match=f"{arithmetic.value} integers with one scale for each 3 weights"):
            EXPORTER.check_rule(rule)
    made = quantize_dense(model, QuantRule(arithmetic=Arithmetic.DYNAMIC, weight_bits=4, group_size=3))
    unused = replace(EXPORTER, lower=lambda model: pytest.fail("it was lowered"))
    with pytest.raises(ModelError, match="scales of 8 bits, which would change every weight"):
        unused.export(made, tmp_path / "model.tflite", **ends(model))
