"""Files for ONNX Runtime on phones: the .onnx file's own answers, in a graph that holds for every processor."""

from __future__ import annotations

import platform

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import nn

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.dynamic_int8 import quantize_dense
from galenic.compress.quantize.int4 import quantize_weights
from galenic.exporters.load import exporter_for
from galenic.exporters.onnx_coverage import optimised
from galenic.exporters.onnxruntime_mobile import EXPORTER, operations
from galenic.exporters.ort_file import packed, unpacked
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule
from galenic.runtimes.load import open_session
from galenic.zoo.build import build

ONNX = exporter_for("onnxruntime")
SHAPE = (3, 8, 8)
NCHWC = "com.microsoft.nchwc"


def net() -> nn.Sequential:
    """Channels by the block of every processor's NCHWc, 16."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


@pytest.fixture(scope="module")
def model(wrap):
    return wrap(net(), SHAPE, 4)


def both(model, ends, folder):
    return [one.export(model, folder / f"model{one.suffix}", **ends(model)) for one in (ONNX, EXPORTER)]


@pytest.mark.slow
def test_a_float_file_answers_as_the_onnx_file_and_torch_do(model, ends, rows, tmp_path) -> None:
    whole, artifact = both(model, ends, tmp_path)
    assert (artifact.runtime, artifact.precision, artifact.path.suffix) == ("onnxruntime-mobile", "float32", ".ort")
    first, second = open_session(whole), open_session(artifact)
    for n in (1, 3, 20):
        inputs = rows(n, SHAPE)
        with torch.no_grad():
            expected = model.module(torch.from_numpy(inputs)).numpy()
        largest = np.abs(expected).max()
        np.testing.assert_allclose(second.run(inputs), first.run(inputs), atol=1e-5 * largest)
        np.testing.assert_allclose(second.run(inputs), expected, atol=1e-5 * largest)


@pytest.mark.slow
def test_nothing_in_the_file_is_for_this_processor_alone_and_the_rest_is_optimised(model, ends, tmp_path) -> None:
    whole, artifact = both(model, ends, tmp_path)
    nodes = operations(unpacked(artifact.path.read_bytes()))
    assert {node.get("domain", "") for node in nodes} <= {"", "com.microsoft"}
    assert [node["op_type"] for node in nodes].count("FusedConv") == 2, "each ReLU is in its convolution"
    if platform.machine() in {"x86_64", "AMD64"}:
        here = optimised(whole.path.read_bytes()).graph.node
        assert NCHWC in {node.domain for node in here}, "which a session of the .onnx file makes of it on this machine"


@pytest.mark.slow
def test_packing_twice_gives_the_same_bytes(model, ends, tmp_path) -> None:
    one, two = (EXPORTER.export(model, tmp_path / f"{n}.ort", **ends(model)) for n in range(2))
    assert one.sha256 == two.sha256
    data = one.path.read_bytes()
    assert packed(unpacked(data)) == data


@pytest.mark.slow
@pytest.mark.parametrize("keep", [(), ("2",)])
def test_int8_answers_as_the_onnx_file_does_on_integer_operations(keep, model, integers, ends, rows, tmp_path) -> None:
    quantized = integers(model, rows(64, SHAPE), QuantRule(keep=keep))
    whole, artifact = both(quantized, ends, tmp_path)
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (3 - len(keep), len(keep), 3 - len(keep), keep)
    tree = unpacked(artifact.path.read_bytes())
    assert [node["op_type"] for node in operations(tree)].count("QLinearConv") == 2 - len(keep)
    stored = {one["name"]: one for one in tree["model"]["graph"]["initializers"]}
    floats = [len(one.get("raw_data", b"")) for one in stored.values() if one["data_type"] == TensorProto.FLOAT]
    # 4 bytes for each of 32 scales; or for each of 16 * 32 * 3 * 3 weights of the layer that is kept
    assert max(floats) == (18432 if keep else 128)
    inputs = rows(50, SHAPE, seed=3)
    first, second = (open_session(one).run(inputs) for one in (whole, artifact))
    assert np.median(np.abs(first - second)) < 1e-5 * np.abs(first).max()


@pytest.mark.slow
def test_integer_weights_of_dense_layers_stay_integers(wrap, ends, rows, tmp_path) -> None:
    shape = (64,)
    dense = wrap(build("mlp", shape, 5, options={"hidden": [96, 80]}).module, shape, 5)
    whole = EXPORTER.export(dense, tmp_path / "float.ort", **ends(dense))
    made = quantize_dense(dense, QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=4, group_size=32))
    artifact = EXPORTER.export(made, tmp_path / "model.ort", **ends(dense))
    kinds = [node["op_type"] for node in operations(unpacked(artifact.path.read_bytes()))]
    assert kinds.count("MatMulNBits") == 3
    assert artifact.size_bytes < 0.35 * whole.size_bytes
    inputs = rows(20, shape)
    with torch.no_grad():
        expected = made.module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(open_session(artifact).run(inputs), expected, atol=1e-4)


def test_integer_weights_of_convolutions_are_refused_by_name(model, ends, rows, tmp_path) -> None:
    rule = QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=8, activation_bits=32)
    made = quantize_weights(model, rule, in_batches(rows(8, SHAPE)))
    with pytest.raises(ModelError, match=r"0, 2 with integer weights and float arithmetic for onnxruntime-mobile"):
        EXPORTER.export(made, tmp_path / "model.ort", **ends(model))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arithmetic", [Arithmetic.FLOAT16, Arithmetic.BFLOAT16])
def test_sixteen_bits_are_refused_with_what_would_become_of_them(arithmetic) -> None:
    with pytest.raises(ModelError, match=f"{arithmetic} for onnxruntime-mobile; .* larger than a float32 one"):
        EXPORTER.check_rule(QuantRule(arithmetic=arithmetic, weight_bits=16, activation_bits=16))
    with pytest.raises(ModelError, match="4-bit activations for onnxruntime-mobile"):
        EXPORTER.check_rule(QuantRule(activation_bits=4))
