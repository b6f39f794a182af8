import os

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from dense_layer import BIAS, ROWS, WEIGHTS, artifact_of
from dense_tflite import behind, dense
from galenic.record.errors import DataError, InputError, MissingPackage, ModelError
from galenic.record.session import WorkerSession
from galenic.runtimes.load import RUNTIMES
from galenic.runtimes.tflite_micro import RUNTIME, load


@pytest.fixture
def tflite(tmp_path):
    def make(data=None, **changes):
        path = tmp_path / "model.tflite"
        return artifact_of(path, "tflite-micro", dense() if data is None else data, **changes)

    return make


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = load(artifact_of(tmp_path_factory.mktemp("micro") / "model.tflite", "tflite-micro", dense()))
    yield made
    made.close()


def changed(**codes):
    """The dense layer's file with another operation in its place."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(dense()), 0))
    for name, value in codes.items():
        setattr(model.operatorCodes[0], name, value)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_it_answers_what_the_layer_computes_by_hand(session):
    np.testing.assert_allclose(session.run(ROWS), ROWS @ WEIGHTS.T + BIAS, rtol=0, atol=1e-6)


def test_it_is_a_worker_that_times_itself_and_knows_its_arena(session):
    assert isinstance(session, WorkerSession)
    session.run(ROWS)
    assert 0 < session.inference_ns < 10**9
    assert session.process_id != os.getpid()
    # an input of 3 floats, an output of 2, and the interpreter's structs
    assert 20 < session.arena_bytes < 4096
    assert session.baseline_mb > 1


def test_the_place_says_that_no_microcontroller_was_timed(session):
    assert (session.place.runtime, session.place.threads) == ("tflite-micro", 1)
    assert "no microcontroller's time" in session.place.caveat
    assert session.place.versions["tflite-micro"]


def test_rows_of_another_shape_are_refused(session):
    with pytest.raises(DataError, match=r"expected float32 \(batch, 3\)"):
        session.run(np.zeros((1, 4), np.float32))


def test_an_operation_that_it_does_not_have_is_refused_in_its_words(tflite):
    code = schema.BuiltinOperator.HASHTABLE_LOOKUP
    with pytest.raises(ModelError, match="is not a model that TFLite Micro can load"):
        load(tflite(changed(builtinCode=code, deprecatedBuiltinCode=code)))


def test_weights_behind_the_flatbuffer_are_refused(tflite):
    """TFLite Micro would read zeros there, and answer the bias alone."""
    with pytest.raises(ModelError, match="weights lie behind the flatbuffer: TFLite Micro would compute with zeros"):
        load(tflite(behind(dense())))


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"\x1c\0\0\0TFL3"])
def test_what_is_no_tflite_file_ends_its_worker_alone(tflite, data):
    with pytest.raises(ModelError):
        load(tflite(data))


def test_a_file_cut_short_ends_its_worker_alone(tflite):
    with pytest.raises(ModelError):
        load(tflite(dense()[: len(dense()) // 2]))


def test_one_flipped_bit_is_refused(tflite):
    made = tflite()
    data = bytearray(made.path.read_bytes())
    data[-1] ^= 1
    made.path.write_bytes(data)
    with pytest.raises(ModelError, match="has changed"):
        load(made)


def test_another_device_and_no_threads_are_refused(tflite):
    with pytest.raises(InputError, match="the device 'gpu' for TFLite Micro"):
        load(tflite(), device="gpu")
    with pytest.raises(InputError, match="0 threads"):
        load(tflite(), threads=0)


def test_a_file_for_another_task_is_refused_with_both_numbers(tflite):
    with pytest.raises(ModelError, match="has 2 classes; expected 3 classes"):
        load(tflite(classes=("a", "b", "c")))


def test_a_missing_package_is_one_command(tflite, monkeypatch):
    monkeypatch.setattr("galenic.runtimes.runtime.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"pip install 'galenic\[tflite-micro\]'"):
        load(tflite())
    assert not RUNTIME.available


def test_outside_tflite_files_are_for_litert():
    assert [one.name for one in RUNTIMES if ".tflite" in one.suffixes] == ["litert"]
