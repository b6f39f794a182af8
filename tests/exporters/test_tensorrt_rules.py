"""For each of TensorRT's rules one file that keeps it and files that break it alone, written with the onnx package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from galenic.exporters.tensorrt_rules import RULES, rules

Q, DQ = "QuantizeLinear", "DequantizeLinear"
I8, HALF = np.int8(0), np.float32(0.5)
FOUR = np.array([0.5, 0.25, 1.0, 2.0], np.float32)
Constants = Mapping[str, np.ndarray | np.generic | TensorProto]

CONSTANTS: Constants = {
    "scale": HALF,
    "zero": I8,
    "weight": np.ones((4, 2, 3, 3), np.int8),
    "scales": FOUR,
    "zeros": np.zeros(4, np.int8),
    "bias": np.ones(4, np.float32),
}


def node(op: str, inputs: str, output: str, **attributes: object) -> NodeProto:
    return helper.make_node(
        op, ["" if one == "-" else one for one in inputs.split()], [output], name=output, **attributes
    )


def nodes(op: str = "Conv", axis: int = 0) -> list[NodeProto]:
    """An input on its grid, weights on theirs, and a layer with a bias."""
    return [
        node(Q, "input scale zero", "q"),
        node(DQ, "q scale zero", "dq"),
        node(DQ, "weight scales zeros", "wdq", axis=axis),
        node(op, "dq wdq bias", "layer"),
    ]


def file(
    made: Sequence[NodeProto], constants: Constants = CONSTANTS, *, opset: int = 20, answer: str = "layer"
) -> ModelProto:
    stored = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), name)
        for name, value in constants.items()
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("input", answer)]
    graph = helper.make_graph(list(made), "g", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def int4(name: str, *dims: int) -> TensorProto:
    """Zeros, two to a byte."""
    return TensorProto(name=name, data_type=TensorProto.INT4, dims=dims, raw_data=bytes(int(np.prod(dims)) // 2))


def blocks(op: str = "MatMul", block: int = 64, axis: int = 0, activation: str = "input") -> list[NodeProto]:
    return [node(DQ, "weight scales", "wdq", axis=axis, block_size=block), node(op, f"{activation} wdq", "layer")]


INT4 = {"weight": int4("weight", 128, 4), "scales": np.ones((2, 4), np.float32)}

KEPT = {
    "a convolution": file(nodes()),
    "the oldest opset": file(nodes(), opset=13),
    "the newest opset": file(nodes(), opset=24),
    "a pool over two dimensions": file([*nodes(), node("MaxPool", "layer", "p", kernel_shape=[2, 2])], answer="p"),
    "a pool over three": file([*nodes(), node("AveragePool", "layer", "p", kernel_shape=[2, 2, 2])], answer="p"),
    "one Q into two DQs": file([*nodes(), node(DQ, "q scale zero", "second")]),
    "weights whose type is their constant's": file(
        [*nodes()[:2], node(DQ, "weight scales", "wdq", axis=0), nodes()[3]]
    ),
    "one scale for a weight": file(nodes(), {**CONSTANTS, "scales": HALF, "zeros": I8}),
    "a transposed convolution's second axis": file(
        nodes("ConvTranspose", axis=1), {**CONSTANTS, "weight": np.ones((2, 4, 3, 3), np.int8)}
    ),
    "a product's second axis": file(
        [*nodes(axis=1)[:3], node("MatMul", "dq wdq", "layer")], {**CONSTANTS, "weight": np.ones((2, 4), np.int8)}
    ),
    "a dense layer's first axis where its weight is turned": file(
        [*nodes()[:3], node("Gemm", "dq wdq bias", "layer", transB=1)],
        {**CONSTANTS, "weight": np.ones((4, 2), np.int8)},
    ),
    "a float layer": file(
        [node("Conv", "input weight bias", "layer")], {**CONSTANTS, "weight": np.ones((4, 2, 3, 3), np.float32)}
    ),
    "blocks of 64": file(blocks(), INT4, opset=21),
    "blocks of 128": file(blocks(block=128), {**INT4, "scales": np.ones((1, 4), np.float32)}, opset=21),
    "blocks of a turned weight": file(
        [blocks(axis=1)[0], node("Gemm", "input wdq", "layer", transB=1)],
        {"weight": int4("weight", 4, 128), "scales": np.ones((4, 2), np.float32)},
        opset=21,
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_file_that_keeps_every_rule(name: str) -> None:
    assert rules(KEPT[name]) == []


def replaced(position: int, *made: NodeProto) -> list[NodeProto]:
    """The nodes with one of them replaced."""
    all_of_them = nodes()
    all_of_them[position : position + 1] = made
    return all_of_them


U8 = {"zero": np.uint8(0)}
BROKEN = {
    "operators: an old opset": (file(nodes(), opset=12), "operators", "the file", "opset 12"),
    "operators: a new opset": (file(nodes(), opset=25), "operators", "the file", "opset 25"),
    "operators: integers of ONNX Runtime's": (
        file([*nodes(), node("ConvInteger", "layer weight", "c")], answer="c"),
        "operators",
        "c",
        "ONNX's ConvInteger",
    ),
    "operators: another domain": (
        file([*nodes(), node("Gelu", "layer", "g", domain="com.microsoft")], answer="g"),
        "operators",
        "g",
        "com.microsoft's Gelu",
    ),
    "pools: over one dimension": (
        file([*nodes(), node("MaxPool", "layer", "p", kernel_shape=[2])], answer="p"),
        "pools",
        "p",
        "a pool over 1 dimensions",
    ),
    "pairs: integers for another operation": (
        file([*nodes(), node("Relu", "q", "r")]),
        "pairs",
        "q",
        "integers that go into Relu",
    ),
    "pairs: integers as the answer": (file(nodes(), answer="q"), "pairs", "q", "integers that go into the answer"),
    "pairs: integers for nothing": (
        file([*nodes(), node(Q, "layer scale zero", "last")]),
        "pairs",
        "last",
        "integers that go into nothing",
    ),
    "pairs: another grid": (
        file(replaced(1, node(DQ, "q other zero", "dq")), {**CONSTANTS, "other": np.float32(0.25)}),
        "pairs",
        "dq",
        "another scale than its QuantizeLinear",
    ),
    "types: unsigned": (file(nodes(), {**CONSTANTS, **U8}), "types", "q", "integers of the type UINT8"),
    "types: unsigned, as nothing is said": (
        file([node(Q, "input scale", "q"), node(DQ, "q scale", "dq"), *nodes()[2:]]),
        "types",
        "q",
        "integers of the type UINT8, as nothing else is said",
    ),
    "symmetric: a zero point": (
        file(nodes(), {**CONSTANTS, "zeros": np.array([0, 0, 3, 0], np.int8)}),
        "symmetric",
        "wdq",
        "a zero point that is not 0",
    ),
    "scales: zero": (file(nodes(), {**CONSTANTS, "scale": np.float32(0)}), "scales", "q", "float32, from 0 to 0"),
    "scales: infinite": (
        file(nodes(), {**CONSTANTS, "scales": np.array([1, 1, 1, np.inf], np.float32)}),
        "scales",
        "wdq",
        "float32, from 1 to inf",
    ),
    "scales: float16": (file(nodes(), {**CONSTANTS, "scales": FOUR.astype(np.float16)}), "scales", "wdq", "float16"),
    "scales: computed": (
        file([node("Identity", "scales", "found"), *replaced(2, node(DQ, "weight found zeros", "wdq", axis=0))]),
        "scales",
        "wdq",
        "a scale that is no constant",
    ),
    "tensors: several scales for an activation": (
        file(nodes(), {**CONSTANTS, "scale": FOUR[:2], "zero": np.zeros(2, np.int8)}),
        "tensors",
        "q",
        "2 scales for an activation",
    ),
    "channels: along the inputs": (
        file(nodes(axis=1), {**CONSTANTS, "scales": FOUR[:2], "zeros": np.zeros(2, np.int8)}),
        "channels",
        "layer",
        "2 scales along axis 1 of a weight (4, 2, 3, 3)",
    ),
    "channels: a transposed convolution's first axis": (
        file(nodes("ConvTranspose"), {**CONSTANTS, "weight": np.ones((4, 2, 3, 3), np.int8)}),
        "channels",
        "layer",
        "4 scales along axis 0",
    ),
    "channels: too few": (
        file(nodes(), {**CONSTANTS, "scales": FOUR[:3], "zeros": np.zeros(3, np.int8)}),
        "channels",
        "layer",
        "3 scales along axis 0",
    ),
    "inputs: a float activation": (
        file(replaced(3, node("Conv", "input wdq bias", "layer"))),
        "inputs",
        "layer",
        "an integer weight and a float activation",
    ),
    "inputs: a float weight": (
        file(
            replaced(3, node("Conv", "dq real bias", "layer")), {**CONSTANTS, "real": np.ones((4, 2, 3, 3), np.float32)}
        ),
        "inputs",
        "layer",
        "a float weight and an integer activation",
    ),
    "biases: float16": (
        file(nodes(), {**CONSTANTS, "bias": np.ones(4, np.float16)}),
        "biases",
        "layer",
        "a bias that is no float32 constant",
    ),
    "biases: computed": (
        file([node("Identity", "bias", "b"), *replaced(3, node("Conv", "dq wdq b", "layer"))]),
        "biases",
        "layer",
        "a bias that is no float32 constant",
    ),
    "INT4: an opset without it": (file(blocks(), INT4), "INT4", "wdq", "opset 20"),
    "INT4: blocks of 32": (
        file(blocks(block=32), {**INT4, "scales": np.ones((4, 4), np.float32)}, opset=21),
        "INT4",
        "layer",
        "blocks of 32 weights",
    ),
    "INT4: along the outputs": (
        file(blocks(axis=1), {"weight": int4("weight", 64, 64), "scales": np.ones((64, 1), np.float32)}, opset=21),
        "INT4",
        "layer",
        "blocks along axis 1 of a weight (64, 64)",
    ),
    "INT4: a part of a block": (
        file(blocks(), {**INT4, "weight": int4("weight", 96, 4)}, opset=21),
        "INT4",
        "layer",
        "blocks along axis 0 of a weight (96, 4)",
    ),
    "INT4: too few scales": (
        file(blocks(), {**INT4, "scales": np.ones((1, 4), np.float32)}, opset=21),
        "INT4",
        "layer",
        "another number of scales than blocks",
    ),
    "INT4: of a convolution": (
        file(blocks("Conv"), INT4, opset=21),
        "INT4",
        "layer",
        "INT4 as an input of Conv: weights of dense layers alone",
    ),
    "INT4: beside integers": (
        file([*nodes()[:2], *blocks(activation="dq")], {**CONSTANTS, **INT4}, opset=21),
        "INT4",
        "layer",
        "INT4 weights beside an integer activation",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_breaks_one_rule_is_told_which_and_where(name: str) -> None:
    model, rule, where, words = BROKEN[name]
    found = rules(model)
    assert {one.rule for one in found} == {rule}
    assert found[0].node == where
    assert words in found[0].words


def test_int32_biases_as_onnx_runtime_stores_them_break_two_rules() -> None:
    made = [*nodes()[:3], node(DQ, "integers scales wide", "b", axis=0), node("Conv", "dq wdq b", "layer")]
    wide = {"integers": np.ones(4, np.int32), "wide": np.zeros(4, np.int32)}
    assert [(one.rule, one.node) for one in rules(file(made, {**CONSTANTS, **wide}))] == [
        ("types", "b"),
        ("biases", "layer"),
    ]


def test_every_rule_is_broken_by_a_file_here() -> None:
    assert {rule for _, rule, _, _ in BROKEN.values()} == {
        "INT4" if one.__name__ == "int4" else one.__name__ for one in RULES
    }
