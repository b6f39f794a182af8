"""Files take the channel last: by hand on a graph of two operations, and for every precision of a net."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dense_tflite import BIAS, dense, signed
from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.dynamic_int8 import quantize_dense
from galenic.compress.quantize.half import to_half
from galenic.compress.quantize.int4 import quantize_weights
from galenic.exporters.litert import EXPORTER, lower_channels_first
from galenic.exporters.litert_builder import INT32, Builder
from galenic.exporters.litert_file import FLOAT32, kinds, packed, unpacked
from galenic.exporters.litert_layout import channels_last
from galenic.record.quant import Arithmetic, QuantRule
from galenic.runtimes.load import open_session

CHANNELS, HEIGHT, WIDTH = 3, 2, 2
WEIGHTS = np.arange(24, dtype=np.float32).reshape(2, CHANNELS * HEIGHT * WIDTH)


def turning(order: tuple[int, ...] = (0, 2, 3, 1), shape: tuple[int, ...] = (1, CHANNELS, HEIGHT, WIDTH)) -> Any:
    """A dense layer behind a TRANSPOSE of the input, as a model in objects."""
    model = unpacked(signed(dense(weights=WEIGHTS)))
    graph, builder = model.subgraphs[0], Builder(model)
    graph.tensors[0].name, graph.tensors[0].shape = b"turned", [shape[axis] for axis in order]
    entry = builder.tensor("input", shape, FLOAT32)
    axes = builder.tensor("order", (len(order),), INT32, np.array(order, np.int32))
    graph.operators = [builder.operation("TRANSPOSE", [entry, axes], 0), *graph.operators]
    graph.inputs, model.signatureDefs[0].inputs[0].tensorIndex = [entry], entry
    return model


def names(model: Any) -> list[str]:
    return [tensor.name.decode() for tensor in model.subgraphs[0].tensors]


def entry_of(data: bytes) -> tuple[list[int], str]:
    """The shape of a file's input, and what takes it, behind the QUANTIZE where there is one."""
    model = unpacked(data)
    graph, found = model.subgraphs[0], kinds(model)
    tensor = graph.inputs[0]
    (place,) = (n for n, one in enumerate(graph.operators) if tensor in one.inputs)
    if found[place] == "QUANTIZE":
        tensor = graph.operators[place].outputs[0]
        assert list(graph.tensors[tensor].shape) == list(graph.tensors[graph.inputs[0]].shape)
        (place,) = (n for n, one in enumerate(graph.operators) if tensor in one.inputs)
    return list(graph.tensors[graph.inputs[0]].shape), found[place]


def test_a_turned_input_is_taken_as_it_is_turned() -> None:
    model = unpacked(channels_last(packed(turning())))
    graph = model.subgraphs[0]
    assert kinds(model) == ["FULLY_CONNECTED"]
    assert names(model) == ["weights", "bias", "logits", "input"]
    assert list(graph.tensors[graph.inputs[0]].shape) == [1, HEIGHT, WIDTH, CHANNELS]
    assert graph.tensors[graph.operators[0].inputs[0]].name == b"input"
    (signature,) = model.signatureDefs
    assert [graph.tensors[end.tensorIndex].name for end in (*signature.inputs, *signature.outputs)] == [
        b"input",
        b"logits",
    ]
    assert [graph.tensors[number].name for number in graph.outputs] == [b"logits"]
    data = model.buffers[graph.tensors[graph.operators[0].inputs[2]].buffer].data
    assert bytes(data) == BIAS.tobytes()


def other_use(model: Any) -> None:
    """A second operation takes the input."""
    graph, builder = model.subgraphs[0], Builder(model)
    number = int(graph.inputs[0])
    graph.operators.append(builder.reshape(number, builder.tensor("again", (1, 12), FLOAT32), (1, 12), "again"))


def nothing_else(model: Any) -> None:
    """As it is."""


@pytest.mark.parametrize(
    ("order", "shape", "change"),
    [
        ((0, 3, 1, 2), (1, 3, 2, 2), nothing_else),
        ((0, 1, 3, 2), (1, 3, 2, 2), nothing_else),
        ((0, 2, 3, 1), (1, 3, 2, 2), other_use),
        ((0, 2, 3, 1), (1, 2, 2, 2), nothing_else),  # channel first and last are one shape
    ],
)
def test_what_turns_otherwise_or_could_not_be_told_is_as_it_was(
    order: tuple[int, ...], shape: tuple[int, ...], change: Callable[[Any], None]
) -> None:
    model = turning(order, shape)
    change(model)
    data = packed(model)
    assert channels_last(data) is data


def test_a_table_is_as_it_was() -> None:
    data = dense()
    assert channels_last(data) is data


IMAGE = (3, 7, 6)


def net(shape: tuple[int, ...] = IMAGE) -> nn.Sequential:
    torch.manual_seed(0)
    if len(shape) == 2:
        return nn.Sequential(nn.Conv1d(shape[0], 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (shape[1] - 2), 3))
    conv = nn.Conv2d(shape[0], 8, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


def flat(shape: tuple[int, ...]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 3))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "make", "taken", "first"),
    [
        (IMAGE, net, [1, 7, 6, 3], "CONV_2D"),
        ((1, 7, 6), net, [1, 7, 6, 1], "DEPTHWISE_CONV_2D"),
        ((2, 9), net, [1, 9, 2], "RESHAPE"),
        ((4, 4, 4), net, [1, 4, 4, 4], "TRANSPOSE"),  # the shape could not tell
        (IMAGE, flat, [1, *IMAGE], "RESHAPE"),  # the weights are in the order of channels first
        ((1, 7, 6), flat, [1, 7, 6, 1], "RESHAPE"),
    ],
)
def test_a_float_file_takes_the_channel_last_and_answers_as_torch(
    shape, make, taken, first, wrap, ends, rows, tmp_path
) -> None:
    model, inputs = wrap(make(shape), shape, 3), rows(5, shape)
    artifact = EXPORTER.export(model, tmp_path / "model.tflite", **ends(model))
    assert entry_of(artifact.path.read_bytes()) == (taken, first)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(inputs)).numpy()
    session = open_session(artifact)
    np.testing.assert_allclose(session.run(inputs), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert session.channels_last == (taken != [1, *shape])
    assert entry_of(lower_channels_first(model).data)[0] == [1, *shape]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "w4a8", "weights-int8", "weights-int4", "dynamic-int8", "float16"])
def test_every_precision_takes_the_channel_last_and_answers_as_channels_first(
    precision, wrap, integers, ends, rows, tmp_path
) -> None:
    model, inputs = wrap(net(), IMAGE, 3), rows(32, IMAGE)
    batches = in_batches(inputs)

    def alone(bits: int) -> QuantRule:
        return QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=bits, activation_bits=32)

    made = {
        "int8": lambda: integers(model, inputs),
        "w4a8": lambda: integers(model, inputs, QuantRule(weight_bits=4)),
        "weights-int8": lambda: quantize_weights(model, alone(8), batches),
        "weights-int4": lambda: quantize_weights(model, alone(4), batches),
        "dynamic-int8": lambda: quantize_dense(model, QuantRule(arithmetic=Arithmetic.DYNAMIC)),
        "float16": lambda: to_half(model, QuantRule(arithmetic=Arithmetic.FLOAT16, weight_bits=16, activation_bits=16)),
    }[precision]()
    artifact = EXPORTER.export(made, tmp_path / "last.tflite", **ends(model))
    assert artifact.precision == precision
    assert entry_of(artifact.path.read_bytes()) == ([1, 7, 6, 3], "CONV_2D")
    before = lower_channels_first(made)
    assert entry_of(before.data) == ([1, *IMAGE], "TRANSPOSE")
    assert (artifact.quant, artifact.integer_ops) == (before.quant, before.integer_ops)
    first = tmp_path / "first.tflite"
    first.write_bytes(before.data)
    other = artifact.model_copy(
        update={"path": first, "sha256": sha256(before.data).hexdigest(), "size_bytes": len(before.data)}
    )
    np.testing.assert_array_equal(open_session(artifact).run(inputs), open_session(other).run(inputs))
