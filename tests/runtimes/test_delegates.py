"""For each accelerator operations that it takes and that it refuses, with the reason; and files that are read without being run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from dense_tflite import WEIGHTS, dense
from galenic.record.errors import MissingPackage, ModelError
from galenic.runtimes.delegate_tables import COREML, DELEGATES, EDGE_TPU, GPU, HEXAGON, NNAPI, QNN, Delegate
from galenic.runtimes.delegates import delegate_report, refusal, reports
from galenic.runtimes.tflite_ops import Op, Tensor, operations_of

FLOAT, INT8, HALF = "FLOAT32", "INT8", "FLOAT16"


def tensor(name: str, kind: str, *shape: int, constant: bool = False, **further: Any) -> Tensor:
    return Tensor(name, kind, shape, constant, **further)


def op(
    kind: str, numbers: str = FLOAT, shape: tuple[int, ...] = (1, 8, 8, 4), *constants: Tensor, **options: Any
) -> Op:
    """One that makes what it takes."""
    ends = (tensor("in", numbers, *shape), tensor("out", numbers, *shape))
    activation = options.pop("activation", "NONE")
    return Op(kind, (ends[0], *constants), ends[1:], options, activation)


def conv(numbers: str = FLOAT, kind: str = "CONV_2D", width: int = 3, **options: Any) -> Op:
    """With its weight and bias."""
    weight = tensor("w", numbers, 4, 3, width, 4, constant=True)
    bias = tensor("b", "INT32" if numbers == INT8 else numbers, 4, constant=True)
    return op(kind, numbers, (1, 8, 8, 4), weight, bias, **options)


def integers(*values: int) -> Tensor:
    return tensor("v", "INT32", len(values), constant=True, values=values)


TAKEN = [
    (NNAPI, conv()),
    (NNAPI, op("HARD_SWISH", INT8)),
    (NNAPI, op("RESHAPE", FLOAT, (1, 4), integers(1, 4))),
    (GPU, conv(activation="RELU6")),
    (GPU, op("SOFTMAX", beta=1.0)),
    (GPU, conv(kind="DEPTHWISE_CONV_2D", depthMultiplier=1)),
    (GPU, op("STRIDED_SLICE", FLOAT, (1, 8, 4))),
    (QNN, op("GELU", "INT16")),
    (QNN, op("CUMSUM", FLOAT, (1, 2, 3, 4, 5))),
    (HEXAGON, conv(INT8, strideH=3, strideW=2)),
    (HEXAGON, conv(INT8, "DEPTHWISE_CONV_2D", depthMultiplier=1, dilationHFactor=2, dilationWFactor=2)),
    (EDGE_TPU, conv(INT8, dilationHFactor=2, dilationWFactor=2)),
    (EDGE_TPU, op("SOFTMAX", INT8, (1, 16000))),
    (EDGE_TPU, op("MEAN", INT8, (1, 8, 8, 4), integers(1, 2))),
    (COREML, conv()),
    (COREML, op("FULLY_CONNECTED", FLOAT, (1, 4), tensor("w", HALF, 4, 4, constant=True))),
]


@pytest.mark.parametrize(
    ("delegate", "one"), TAKEN, ids=lambda value: getattr(value, "name", getattr(value, "kind", ""))
)
def test_what_an_accelerator_takes(delegate: Delegate, one: Op) -> None:
    assert refusal(delegate, one) == ""


REFUSED = [
    (NNAPI, op("GELU"), "it has no GELU"),
    (NNAPI, replace(conv(), inputs=conv().inputs[:2]), "CONV_2D without a bias"),
    (NNAPI, op("CONCATENATION", activation="RELU"), "CONCATENATION with a fused RELU"),
    (NNAPI, op("ELU", INT8), "INT8 numbers (in)"),
    (NNAPI, op("RESHAPE", FLOAT, (1, 4), tensor("s", "INT32", 2)), "INT32 numbers (s)"),
    (GPU, op("MUL", activation="SIGN_BIT"), "MUL with a fused SIGN_BIT"),
    (GPU, op("ADD", FLOAT, (1, 2, 3, 4, 5)), "in (1, 2, 3, 4, 5), of 5 dimensions and not 4 at most"),
    (GPU, op("SOFTMAX", beta=2.0), "SOFTMAX with a beta that is not 1"),
    (GPU, op("SLICE", FLOAT, (1, 4)), "SLICE of 2 dimensions, not 3 or 4"),
    (GPU, op("STRIDED_SLICE", FLOAT, (1, 8, 4), shrinkAxisMask=1), "STRIDED_SLICE with a shrinkAxisMask"),
    (
        GPU,
        conv(kind="DEPTHWISE_CONV_2D", depthMultiplier=2),
        "DEPTHWISE_CONV_2D with more than one output for a channel",
    ),
    (
        GPU,
        op("PAD", FLOAT, (1, 8, 8, 4), tensor("p", "INT32", 2, 2, constant=True)),
        "PAD of other than 3 or 4 dimensions",
    ),
    (QNN, op("UNIDIRECTIONAL_SEQUENCE_LSTM"), "it has no UNIDIRECTIONAL_SEQUENCE_LSTM"),
    (QNN, op("ADD", "FLOAT64"), "FLOAT64 numbers (in)"),
    (HEXAGON, conv(), "FLOAT32 weights"),
    (HEXAGON, conv(INT8, strideH=4, strideW=1), "CONV_2D with a stride of 4, above 3"),
    (
        HEXAGON,
        conv(INT8, "DEPTHWISE_CONV_2D", 5, depthMultiplier=1),
        "DEPTHWISE_CONV_2D with a kernel that is not 3 wide",
    ),
    (
        HEXAGON,
        conv(INT8, "DEPTHWISE_CONV_2D", depthMultiplier=1, dilationHFactor=2, dilationWFactor=2, strideH=2),
        "DEPTHWISE_CONV_2D with a dilation and a stride",
    ),
    (HEXAGON, op("RESIZE_BILINEAR", INT8, (1, 66, 8, 4)), "RESIZE_BILINEAR to more than 65 positions"),
    (EDGE_TPU, conv(), "FLOAT32 weights"),
    (EDGE_TPU, op("HARD_SWISH", INT8), "it has no HARD_SWISH"),
    (EDGE_TPU, op("ADD", INT8, (2, 8, 8, 4)), "in (2, 8, 8, 4), of which only the last 3 sides may be above 1"),
    (
        EDGE_TPU,
        conv(INT8, dilationHFactor=2, dilationWFactor=1),
        "CONV_2D with other dilations in height than in width",
    ),
    (EDGE_TPU, op("SOFTMAX", INT8, (1, 16001)), "SOFTMAX of more than 16000 numbers"),
    (EDGE_TPU, op("SOFTMAX", INT8, (1, 2, 3)), "SOFTMAX of more than one dimension"),
    (EDGE_TPU, op("MEAN", INT8, (1, 8, 8, 4), integers(0, 1)), "MEAN over the batch"),
    (EDGE_TPU, op("PAD", INT8, (1, 8, 8, 4), integers(1, 0, 1, 1)), "PAD of the batch"),
    (
        EDGE_TPU,
        op("STRIDED_SLICE", INT8, (1, 8), integers(0), integers(8), integers(2)),
        "STRIDED_SLICE with steps above 1",
    ),
    (COREML, conv(INT8), "INT8 weights"),
    (COREML, op("RESHAPE"), "RESHAPE which Core ML 2 takes, and Core ML 3 not"),
    (COREML, op("FULLY_CONNECTED", FLOAT, (2, 4)), "FULLY_CONNECTED of more than one row"),
]


@pytest.mark.parametrize(
    ("delegate", "one", "reason"), REFUSED, ids=lambda value: getattr(value, "name", getattr(value, "kind", ""))
)
def test_what_an_accelerator_refuses_is_said_with_the_reason(delegate: Delegate, one: Op, reason: str) -> None:
    assert refusal(delegate, one) == reason


def test_every_accelerator_has_both() -> None:
    assert {one.name for one, _ in TAKEN} == {one.name for one, _, _ in REFUSED} == {one.name for one in DELEGATES}


def test_sizes_that_are_not_known_and_weights_in_blocks_are_refused_by_all() -> None:
    unknown = replace(conv(), outputs=(tensor("out", FLOAT, -1, 8, 8, 4),))
    four = tensor("w", "INT4", 4, 4, constant=True, blocks=True)
    for delegate in DELEGATES:
        assert refusal(delegate, unknown).endswith(("of a size that is not known before", "FLOAT32 weights"))
        assert "INT4 weights" in refusal(delegate, op("FULLY_CONNECTED", FLOAT, (1, 4), four))
    assert refusal(QNN, op("FULLY_CONNECTED", FLOAT, (1, 4), four)) == "INT4 weights with several scales for a channel"
    assert refusal(QNN, op("FULLY_CONNECTED", FLOAT, (1, 4), replace(four, blocks=False))) == ""


def test_a_mean_on_another_grid_is_refused_where_it_matters() -> None:
    taken, made = tensor("in", INT8, 1, 8, 8, 4, grid=((0.5,), (0,))), tensor("out", INT8, 1, 4, grid=((0.25,), (0,)))
    mean = Op("MEAN", (taken, integers(1, 2)), (made,), {})
    assert refusal(NNAPI, mean) == "MEAN whose output has another scale than its input"
    assert refusal(NNAPI, replace(mean, outputs=(replace(made, grid=taken.grid),))) == ""
    assert refusal(EDGE_TPU, mean) == ""


def test_a_graph_is_counted_in_parts_between_what_stays_on_the_processor() -> None:
    ops = [conv(), conv(), op("GELU"), conv(), op("GELU")]
    nnapi = next(one for one in reports(ops) if one.delegate == "nnapi")
    assert (nnapi.supported, nnapi.parts, nnapi.taken, nnapi.total) == ({"CONV_2D": 3}, 2, 3, 5)
    assert [(one.op, one.tensor, one.reason) for one in nnapi.refused] == [("GELU", "out", "it has no GELU")] * 2
    assert nnapi.sources
    assert nnapi.place == "by published tables, not run"


def test_float16_weights_are_constants_where_their_dequantize_was() -> None:
    stored, real = tensor("h", HALF, 4, 3, 3, 4, constant=True), tensor("w", FLOAT, 4, 3, 3, 4)
    ops = [Op("DEQUANTIZE", (stored,), (real,), {}), replace(conv(), inputs=(conv().inputs[0], real, conv().inputs[2]))]
    found = {one.delegate: (one.taken, one.total) for one in reports(ops)}
    assert found == {
        "nnapi": (1, 1),
        "gpu": (1, 1),
        "qnn": (1, 1),
        "coreml": (1, 1),
        "hexagon": (0, 1),
        "edgetpu": (0, 1),
    }


def written(path: Path, change: Callable[[Any], None] = lambda model: None) -> Path:
    """The dense layer's file, changed."""
    model = schema.ModelT.InitFromPackedBuf(dense())
    change(model)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_the_operations_of_a_file_are_read_with_their_shapes_and_constants(tmp_path: Path) -> None:
    (found,) = operations_of(written(tmp_path / "model.tflite"))
    assert (found.kind, found.activation) == ("FULLY_CONNECTED", "NONE")
    assert [(one.name, one.type, one.shape, one.constant) for one in (*found.inputs, *found.outputs)] == [
        ("input", FLOAT, (1, 3), False),
        ("weights", FLOAT, (2, 3), True),
        ("bias", FLOAT, (2,), True),
        ("logits", FLOAT, (1, 2), False),
    ]
    assert {one.delegate: one.taken for one in delegate_report(tmp_path / "model.tflite")} == {
        "nnapi": 1,
        "gpu": 1,
        "qnn": 1,
        "hexagon": 0,
        "edgetpu": 0,
        "coreml": 1,
    }


def test_grids_blocks_activations_and_few_integers_are_read(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        first, weights, bias, _ = model.subgraphs[0].tensors
        first.shapeSignature = [-1, 3]
        weights.type = schema.TensorType.INT8
        weights.quantization = schema.QuantizationParametersT()
        weights.quantization.scale, weights.quantization.zeroPoint = [0.5, 0.25], [0, 0]
        weights.quantization.detailsType = 2
        bias.type = schema.TensorType.INT32
        model.buffers[2].data = np.array([7, -9], np.int32).view(np.uint8)
        model.subgraphs[0].operators[0].builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU6
        model.subgraphs[0].operators[0].inputs = [0, 1, -1]

    (found,) = operations_of(written(tmp_path / "model.tflite", change))
    first, weights, absent = found.inputs
    assert (first.shape, absent, found.activation) == ((-1, 3), None, "RELU6")
    assert (weights.type, weights.grid, weights.blocks) == (INT8, ((0.5, 0.25), (0, 0)), True)

    def with_bias(model: Any) -> None:
        change(model)
        model.subgraphs[0].operators[0].inputs = [0, 1, 2]

    (found,) = operations_of(written(tmp_path / "model.tflite", with_bias))
    assert found.inputs[2].values == (7, -9)


def test_what_is_no_whole_file_is_refused(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "model.tflite"
    whole = written(path).read_bytes()
    assert WEIGHTS.tobytes() in whole
    for data in (b"", b"\0" * 64, whole[:60], whole[:8] + b"\xff" * 64):
        path.write_bytes(data)
        with pytest.raises(
            ModelError, match=r"model\.tflite, which is not a whole \.tflite file \(\w+: .*expected a LiteRT file"
        ):
            delegate_report(path)
    with pytest.raises(ModelError, match=r"gone\.tflite, which cannot be read"):
        delegate_report(tmp_path / "gone.tflite")
    monkeypatch.setattr("galenic.runtimes.runtime.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"pip install 'galenic\[litert\]'"):
        delegate_report(path)
