import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ai_edge_litert
import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from dense_layer import BIAS, ROWS, WEIGHTS, artifact_of
from dense_tflite import dense
from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, InputError, MissingPackage, ModelError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.runtimes.litert import RUNTIME, load
from galenic.runtimes.load import artifact_of_file


@pytest.fixture
def tflite(tmp_path: Path) -> Callable[..., Artifact]:
    def make(data: bytes | None = None, **changes: object) -> Artifact:
        path = tmp_path / "model.tflite"
        return artifact_of(path, "litert", dense() if data is None else data, **changes)

    return make


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_it_answers_what_the_layer_computes_by_hand_whatever_batch_the_file_takes(tflite, batch):
    answers = load(tflite(dense(batch))).run(ROWS)
    # row 0: 1 - 4 + 1.5 + 0.5 = -1 and 0.25 + 6 - 3 - 0.5 = 2.75; row 2 is the bias
    np.testing.assert_allclose(answers, [[-1.0, 2.75], [-1.5, 0.75], [0.5, -0.5]], rtol=0, atol=1e-6)
    assert answers.dtype == np.float32


def test_rows_that_do_not_lie_in_one_piece_are_answered_too(tflite):
    rows = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32).T
    np.testing.assert_allclose(load(tflite()).run(rows), rows @ WEIGHTS.T + BIAS, atol=1e-5)


def test_an_answer_stays_as_it_was_when_the_next_one_is_given(tflite):
    session = load(tflite())
    first = session.run(ROWS[:1])
    session.run(ROWS[1:2])
    np.testing.assert_allclose(first, [[-1.0, 2.75]], atol=1e-6)


def test_threads_of_the_caller_do_not_get_each_others_answers(tflite):
    session, rows = load(tflite()), np.random.default_rng(0).normal(size=(400, 1, 3)).astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(session.run, rows))
    np.testing.assert_allclose(np.concatenate(answers), rows[:, 0] @ WEIGHTS.T + BIAS, atol=1e-5)


def test_the_place_says_machine_runtime_version_and_threads(tflite):
    place = load(tflite(), threads=2).place
    assert (place.runtime, place.threads, place.estimated) == ("litert", 2, False)
    assert place.versions == {"ai-edge-litert": ai_edge_litert.__version__}
    assert place.machine.endswith(("core", "cores"))


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_as_many_threads_work_as_were_asked_for(tflite):
    before = len(os.listdir("/proc/self/task"))
    session = load(tflite(), threads=3)
    assert len(os.listdir("/proc/self/task")) == before + 2
    del session
    assert load(tflite(), threads=1).place.threads == 1
    assert len(os.listdir("/proc/self/task")) == before


def test_xnnpack_computes_the_layer(tflite):
    interpreter = load(tflite())._interpreter
    assert [one["op_name"] for one in interpreter._get_ops_details()][-1] == "DELEGATE"


def test_loading_says_nothing(tflite, capfd):
    load(tflite()).run(ROWS)
    assert capfd.readouterr() == ("", "")


def test_another_device_than_the_processor_is_refused(tflite):
    with pytest.raises(InputError, match="the device 'gpu' for LiteRT; expected one of cpu"):
        load(tflite(), device="gpu")


def test_no_threads_are_refused(tflite):
    with pytest.raises(InputError, match="0 threads"):
        load(tflite(), threads=0)


def test_one_flipped_bit_is_refused(tflite):
    made = tflite()
    data = bytearray(made.path.read_bytes())
    data[len(data) // 2] ^= 1
    made.path.write_bytes(data)
    with pytest.raises(ModelError, match=f"has changed: {len(data)} bytes with sha256 "):
        load(made)


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"\x80\x04\x95\x10\x00\x00\x00"])
def test_what_is_no_tflite_file_is_refused_even_with_the_right_hash(tflite, data, capfd):
    with pytest.raises(ModelError, match="is not a model that LiteRT can load"):
        load(tflite(data))
    assert capfd.readouterr() == ("", "")


def test_every_truncation_is_refused(tflite):
    whole = dense()
    for length in range(0, len(whole) - 1, 7):
        with pytest.raises(ModelError, match="is not a model that LiteRT can load"):
            load(tflite(whole[:length]))


def test_weights_in_another_file_are_refused_although_it_is_there(tflite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    model = schema.ModelT.InitFromPackedBuf(dense())
    group, outside = schema.ExternalBufferGroupT(), schema.ExternalBufferT()
    group.name, outside.id, outside.length = "weights.bin", 1, WEIGHTS.nbytes
    model.externalBufferGroups, model.externalBuffers = [group], [outside]
    model.buffers[1].data, model.subgraphs[0].tensors[1].externalBuffer = None, 1
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ModelError, match="tensor 1 lacks data"):
        load(tflite(bytes(builder.Output()))).run(ROWS)


def test_a_file_for_other_inputs_is_refused_with_both_shapes(tflite):
    with pytest.raises(ModelError, match=r"takes inputs of shape \(batch, 5\); expected \(batch, 3\)"):
        load(tflite(dense(weights=np.zeros((2, 5), np.float32))))


IMAGE = Preprocessing(modality=Modality.IMAGE, raw_shape=(2, 2, 3), scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)


def of_pictures(shape: list[int], weights: np.ndarray) -> bytes:
    """The dense layer for inputs of four dimensions, as other converters write them; it sees them as they lie."""
    model = schema.ModelT.InitFromPackedBuf(dense(weights=weights))
    model.subgraphs[0].tensors[0].shape = shape
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("shape", "first", "second"),
    [
        # of the input 0 .. 11, channels first: its second and third value, and as they lie with the channel last 4 and 8
        ([1, 3, 2, 2], 1.0, 2.0),
        ([1, 2, 2, 3], 4.0, 8.0),
    ],
)
def test_an_outside_file_may_take_the_channel_first_or_last(tflite, shape, first, second):
    weights = np.zeros((2, 12), np.float32)
    weights[0, 1] = weights[1, 2] = 1.0
    made = tflite(of_pictures(shape, weights), preprocessing=IMAGE)
    given = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    rows = np.concatenate([given, 2 * given])
    expected = [[first + 0.5, second - 0.5], [2 * first + 0.5, 2 * second - 0.5]]
    np.testing.assert_allclose(load(made).run(rows), expected, atol=1e-6)
    opened = artifact_of_file(made.path, IMAGE, made.classes)
    np.testing.assert_allclose(load(opened).run(rows), expected, atol=1e-6)


def test_where_first_and_last_are_one_shape_it_is_first(tflite):
    spec = IMAGE.model_copy(update={"raw_shape": (2, 2, 2), "mean": (0.0,) * 2, "std": (1.0,) * 2})
    weights = np.zeros((2, 8), np.float32)
    weights[0, 1] = weights[1, 2] = 1.0
    session = load(tflite(of_pictures([1, 2, 2, 2], weights), preprocessing=spec))
    given = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    np.testing.assert_allclose(session.run(given), [[1.5, 1.5]], atol=1e-6)


def test_a_picture_of_other_sides_is_refused(tflite):
    made = tflite(of_pictures([1, 2, 3, 2], np.zeros((2, 12), np.float32)), preprocessing=IMAGE)
    with pytest.raises(ModelError, match=r"takes inputs of shape \(batch, 2, 3, 2\); expected \(batch, 3, 2, 2\)"):
        load(made)


def test_a_file_with_another_number_of_classes_is_refused_with_both_numbers(tflite):
    with pytest.raises(ModelError, match=r"has 2 classes; expected 3 classes \(a, b, c\)"):
        load(tflite(classes=("a", "b", "c")))


def test_a_file_of_another_type_is_refused(tflite):
    int8 = dense(weights=np.zeros((2, 12), np.int8), kind=schema.TensorType.INT8)
    with pytest.raises(ModelError):
        load(tflite(int8))


def test_inputs_of_another_type_or_shape_are_refused(tflite):
    session = load(tflite())
    for wrong in (ROWS.astype(np.float64), ROWS[:, :2], ROWS[0], ROWS[:0]):
        with pytest.raises(DataError):
            session.run(wrong)


def test_where_it_is_not_installed_the_two_commands_are_named(tflite, monkeypatch):
    monkeypatch.setattr("galenic.runtimes.runtime.find_spec", lambda name: None)
    with pytest.raises(
        MissingPackage, match=r"pip install 'galenic\[litert\]' && pip install --no-deps litert-torch=="
    ):
        load(tflite())
    assert not RUNTIME.available
