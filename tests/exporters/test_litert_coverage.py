"""What is read from a file of one dense layer, quantized on numbers that are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from dense_tflite import dense, signed
from galenic.exporters.litert_coverage import (
    INT4,
    check_weights_held,
    count_integer,
    integers_of,
    rounded_tensors,
    shorten_names,
)
from galenic.exporters.litert_file import operations, unpacked
from galenic.exporters.litert_grids import Grids
from galenic.exporters.litert_recipe import quantized
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantPoint, QuantRule, QuantSpec, TensorRole
from galenic.zoo.graph import traced

POINTS = {
    name: QuantPoint(tensor=name, role=TensorRole.OUTPUT, bits=8, scale=(scale,), zero_point=(zero_point,))
    for name, scale, zero_point in (("input", 0.05, 100), ("logits", 0.25, 0))
}
GRIDS = Grids({"input": "input", "logits": "0"}, {}, POINTS, ())
WEIGHT = QuantPoint(tensor="0", role=TensorRole.WEIGHT, bits=8, scale=(0.02, 0.03), zero_point=(0, 0), axis=0)
INTEGERS = np.array([[50, -100, 25], [8, 100, -33]])
SPEC = QuantSpec(rule=QuantRule(), points=(WEIGHT,))


@pytest.fixture
def plain() -> bytes:
    """The float file, its layer named as the first of a Sequential."""
    return signed(dense(), "0.weight")


@pytest.fixture
def graph(wrap):
    """Of a model with the same weights, on their grid."""
    net = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor(INTEGERS * [[0.02], [0.03]]))
    return traced(wrap(net, (3,), 2))


def test_the_tensors_that_have_their_own_grid(plain):
    file = unpacked(quantized(plain, SPEC, operations(unpacked(plain)), POINTS))
    assert rounded_tensors(file, GRIDS) == {"input", "0"}
    # the logits have the grid of what they are made of: an operation that keeps its input's grid
    kept = unpacked(quantized(plain, SPEC, operations(unpacked(plain)), POINTS | {"logits": POINTS["input"]}))
    assert rounded_tensors(kept, GRIDS) == {"input"}
    other = POINTS["logits"].model_copy(update={"scale": (0.5,)})
    with pytest.raises(ModelError, match="1 tensors of the LiteRT file without a grid: logits"):
        rounded_tensors(file, replace(GRIDS, grids=POINTS | {"logits": other}))


def test_weights_are_those_of_the_model_or_refused(plain, graph):
    parts = operations(unpacked(plain))
    check_weights_held(unpacked(quantized(plain, SPEC, parts, POINTS)), parts, graph, SPEC)
    wider = SPEC.model_copy(update={"points": (WEIGHT.model_copy(update={"scale": (0.04, 0.03)}),)})
    for file in (plain, quantized(plain, wider, parts, POINTS)):
        with pytest.raises(ModelError, match="weights of 0 in the LiteRT file that are other numbers"):
            check_weights_held(unpacked(file), parts, graph, SPEC)
    with pytest.raises(ModelError, match="a LiteRT file without the layer 0"):
        check_weights_held(unpacked(plain), [], graph, SPEC)


@pytest.mark.parametrize(
    ("arithmetic", "grids", "integer", "expected"),
    [
        (Arithmetic.STATIC, POINTS, 1, 1),
        (Arithmetic.DYNAMIC, None, 1, 1),
        (Arithmetic.WEIGHTS, None, 0, 0),
    ],
)
def test_what_counts_as_integer(arithmetic, grids, integer, expected, plain, graph):
    spec = SPEC.model_copy(update={"rule": QuantRule(arithmetic=arithmetic)})
    ops = count_integer(unpacked(quantized(plain, spec, operations(unpacked(plain)), grids)), graph, spec)
    assert (ops.integer, ops.floating, ops.expected) == (integer, 1 - integer, expected)
    assert ops.left_float == (() if integer else ("0",))


def test_a_layer_that_should_be_integer_and_is_not_is_named(plain, graph):
    ops = count_integer(unpacked(plain), graph, SPEC)
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (0, 1, 1, ("0",))


def test_a_kept_layer_is_not_expected_to_be_integer(plain, graph):
    ops = count_integer(unpacked(plain), graph, QuantSpec(rule=QuantRule(), stays_float=("0",)))
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (0, 1, 0, ("0",))


def test_four_bits_lie_two_to_a_byte_the_first_in_the_lower_half():
    # -7 is 9 in four bits: 0x79 holds -7 and 7; 0x10 holds 0 and 1; 0x0d holds -3 and nothing
    file = SimpleNamespace(buffers=[SimpleNamespace(data=np.array([0x79, 0x10, 0x0D], np.uint8))])
    tensor = SimpleNamespace(buffer=0, type=INT4, shape=np.array([1, 5]))
    assert integers_of(file, tensor).tolist() == [[-7, 7, 0, 1, -3]]


def test_what_was_put_in_gets_a_short_name_and_the_answer_its_own(plain):
    file = unpacked(quantized(plain, SPEC, operations(unpacked(plain)), POINTS))
    shorten_names(file)
    names = {tensor.name.decode() for tensor in file.subgraphs[0].tensors}
    assert names == {"input", "input:q", "0.weight", "bias", "logits:q", "logits"}
    graph = file.subgraphs[0]
    assert [graph.tensors[end].name for end in (graph.inputs[0], graph.outputs[0])] == [b"input", b"logits"]
