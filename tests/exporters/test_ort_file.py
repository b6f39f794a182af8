"""The ORT format by itself: a file as ONNX Runtime writes it, and trees written by hand, read by the bounds-checked reader."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from galenic.exporters.ort_file import ALIGNMENT, IDENTIFIER, labelled, packed, unpacked
from galenic.record.card import Card, card_parts
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.runtimes.flatbuffer import root_table

TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(40,), scale=1.0, mean=(0.0,) * 40, std=(1.0,) * 40)
WEIGHTS = np.arange(80, dtype=np.float32).reshape(2, 40)
GRAPH, INITIALIZERS, TENSOR_NAME, MODEL = 7, 0, 0, 1


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> bytes:
    """What ONNX Runtime itself writes of a dense layer."""
    path = tmp_path_factory.mktemp("ort") / "model.ort"
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["input", "weights", "bias"], ["logits"], transB=1, name="dense")],
        "dense",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 40])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(np.ones(2, np.float32), "bias")],
    )
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return path.read_bytes()


def answers(data: bytes, rows: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.load_model_format", "ORT")
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"input": rows})[0]
    return found


def test_what_is_read_and_written_again_is_the_same_model(theirs: bytes) -> None:
    tree = unpacked(theirs)
    ours = packed(tree)
    assert unpacked(ours) == tree | {"model": unpacked(ours)["model"]}
    assert packed(unpacked(ours)) == ours == packed(unpacked(ours))
    rows = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    np.testing.assert_array_equal(answers(ours, rows), answers(theirs, rows))
    np.testing.assert_allclose(answers(ours, rows), rows @ WEIGHTS.T + 1, rtol=1e-5)


def test_what_has_no_order_is_sorted_so_that_hash_tables_do_not_decide_the_bytes(theirs: bytes) -> None:
    tree, other = unpacked(theirs), unpacked(theirs)
    graph = other["model"]["graph"]
    for name in ("initializers", "node_args"):
        assert len(graph[name]) > 1
        graph[name].reverse()
    for node in graph["nodes"]:
        node.get("attributes", []).reverse()
    other["model"]["opset_import"].reverse()
    assert packed(other) == packed(tree)
    model = root_table(packed(tree), IDENTIFIER).table(MODEL)
    stored = model.table(GRAPH).tables(INITIALIZERS)
    assert [bytes(one.octets(TENSOR_NAME)) for one in stored] == [b"bias", b"weights"]


def test_constants_lie_where_a_phone_can_use_them_in_place(theirs: bytes) -> None:
    assert packed(unpacked(theirs)).index(WEIGHTS.tobytes()) % ALIGNMENT == 0


def test_a_card_is_added_and_nothing_else_is_changed(theirs: bytes) -> None:
    named = labelled(theirs, TABLE, ("ill", "well"))
    tree = unpacked(named)
    entries = {one["key"]: one["value"] for one in tree["model"].pop("metadata_props")}
    assert entries == card_parts(Card(preprocessing=TABLE, classes=("ill", "well")))
    plain = unpacked(packed(unpacked(theirs)))
    plain["model"].pop("metadata_props", None)
    assert tree == plain
    assert labelled(named, TABLE, ("ill", "well")) == named, "it takes the place of the one before"


def test_empty_and_default_fields_are_read_as_they_were_written() -> None:
    tree = {
        "ort_version": "6",
        "model": {"ir_version": 0, "producer_name": "", "opset_import": [], "model_version": -3},
    }
    again = unpacked(packed(tree))
    assert again["model"] == {"producer_name": "", "opset_import": [], "model_version": -3}, "0 is the default"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tree: tree | {"ort_version": "5"}, "an .ort file of version 5; expected the ORT format of version 6"),
        (lambda tree: {"model": tree["model"]}, "an .ort file of version None"),
        (
            lambda tree: tree | {"model": {"graph": {"node_args": [{"name": "a", "type": {"value_type": 2}}]}}},
            "a value that is no tensor",
        ),
    ],
)
def test_a_file_of_a_form_that_is_not_known_is_refused(change: Callable, words: str, theirs: bytes) -> None:
    with pytest.raises(ModelError, match=words):
        unpacked(packed(change(unpacked(theirs))))


def test_other_bytes_are_no_ort_file() -> None:
    for data in (b"", b"\0" * 64, b"\x10\0\0\0TFL3" + b"\0" * 56):
        with pytest.raises(ModelError, match=r"no \.ort file; expected the ORT format"):
            unpacked(data)
