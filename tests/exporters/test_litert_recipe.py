"""The dense layer of ``dense_tflite`` on scales that no min/max of its weights would give."""

import numpy as np
import pytest

from dense_tflite import BIAS, WEIGHTS, dense, signed
from galenic.exporters.litert_coverage import INT4, INT8, integers_of
from galenic.exporters.litert_file import Operation, operations, unpacked
from galenic.exporters.litert_recipe import channel_axis, quantized, stored_bits
from galenic.record.quant import Arithmetic, QuantPoint, QuantRule, QuantSpec, TensorRole

LAYER = "weights"  # the layer that makes the logits is called by its weights' name


def weight_point(bits: int, scale: tuple[float, ...]) -> QuantPoint:
    return QuantPoint(
        tensor=LAYER, role=TensorRole.WEIGHT, bits=bits, scale=scale, zero_point=(0,) * len(scale), axis=0
    )


def made(bits: int, scale: tuple[float, ...], arithmetic: Arithmetic = Arithmetic.STATIC, **more):
    spec = QuantSpec(rule=QuantRule(arithmetic=arithmetic), points=(weight_point(bits, scale),))
    data = signed(dense())
    file = unpacked(quantized(data, spec, operations(unpacked(data)), **more))
    return file, {tensor.name.decode(): tensor for tensor in file.subgraphs[0].tensors}


def point(tensor: str, scale: float, zero_point: int) -> QuantPoint:
    return QuantPoint(tensor=tensor, role=TensorRole.OUTPUT, bits=8, scale=(scale,), zero_point=(zero_point,))


def test_the_file_has_the_scales_that_it_is_given():
    grids = {"input": point("input", 0.05, 100), "logits": point("logits", 0.25, 0)}
    file, found = made(8, (0.02, 0.03), grids=grids)
    given = {"input_quantized": (0.05, 100 - 128), "logits": (0.25, -128)}
    for name, (scale, zero_point) in given.items():
        quantization = found[name].quantization
        assert (found[name].type, quantization.zeroPoint.tolist()) == (INT8, [zero_point])
        assert quantization.scale.tolist() == [np.float32(scale)]
    np.testing.assert_array_equal(found[LAYER].quantization.scale, np.float32([0.02, 0.03]))
    # 1 / .02, -2 / .02, .5 / .02; .25 / .03 = 8.3, 3 / .03, -1 / .03 = -33.3
    assert integers_of(file, found[LAYER]).tolist() == [[50, -100, 25], [8, 100, -33]]
    bias = np.frombuffer(bytes(file.buffers[found["bias"].buffer].data), np.int32)
    assert bias.tolist() == np.rint(BIAS / (0.05 * np.array([0.02, 0.03]))).tolist() == [500, -333]


def test_four_bits_are_stored_in_four_and_one_scale_serves_all_channels():
    grids = {"input": point("input", 0.05, 100), "logits": point("logits", 0.25, 0)}
    file, found = made(4, (0.5,), grids=grids)
    assert found[LAYER].type == INT4
    assert len(file.buffers[found[LAYER].buffer].data) == WEIGHTS.size // 2
    # 1 / .5, -2 / .5, .5 / .5; .25 / .5 = .5 to even, 3 / .5, -1 / .5
    assert integers_of(file, found[LAYER]).tolist() == [[2, -4, 1], [0, 6, -2]]
    assert found[LAYER].quantization.scale.tolist() == [0.5, 0.5]


def test_an_operation_that_stays_float_is_as_it_was():
    data = signed(dense())
    spec = QuantSpec(rule=QuantRule(), stays_float=(LAYER,))
    file = unpacked(quantized(data, spec, operations(unpacked(data)), {"input": point("input", 0.05, 100)}, ["logits"]))
    assert {tensor.type for tensor in file.subgraphs[0].tensors} == {0}


@pytest.mark.parametrize(("arithmetic", "dequantized"), [(Arithmetic.WEIGHTS, True), (Arithmetic.DYNAMIC, False)])
def test_integer_weights_alone(arithmetic, dequantized):
    file, found = made(8, (0.02, 0.03), arithmetic)
    assert integers_of(file, found[LAYER]).tolist() == [[50, -100, 25], [8, 100, -33]]
    assert ("weights_dequant" in found) == dequantized
    assert found["input"].type == found["logits"].type == 0


@pytest.mark.parametrize(
    ("kind", "bits", "stored", "axis"),
    [
        ("CONV_2D", 4, 4, 0),
        ("CONV_2D", 2, 4, 0),
        ("CONV_2D", 5, 8, 0),
        ("FULLY_CONNECTED", 3, 4, 0),
        ("DEPTHWISE_CONV_2D", 4, 8, 3),
        ("TRANSPOSE_CONV", 4, 8, 0),
    ],
)
def test_where_few_bits_have_a_kernel_and_where_the_channels_are(kind, bits, stored, axis):
    operation = Operation(kind, ("x",), "y", 0, {})
    assert stored_bits(operation, weight_point(bits, (1.0,))) == stored
    assert channel_axis(operation) == axis
