import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from galenic.record.errors import DataError, InputError, MissingPackage, ModelError
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces
from galenic.runtimes.load import artifact_of_file, open_session
from galenic.runtimes.openvino import RUNTIME, import_openvino, load

ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 0.0]], np.float32)


@pytest.mark.parametrize("batch", ["batch", 1, 2, 5])
def test_it_answers_what_the_layer_computes_by_hand_whatever_batch_the_file_takes(artifact, make_dense, batch):
    answers = load(artifact(make_dense(batch), runtime="openvino")).run(ROWS)
    # row 0: 1 - 4 + 1.5 + 0.5 = -1 and 0.25 + 6 - 3 - 0.5 = 2.75; row 2 is the bias
    np.testing.assert_allclose(answers, [[-1.0, 2.75], [-1.5, 0.75], [0.5, -0.5]], rtol=0, atol=1e-6)
    assert answers.dtype == np.float32


def test_rows_that_do_not_lie_in_one_piece_are_answered_too(artifact, oracle):
    rows = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32).T
    np.testing.assert_allclose(load(artifact()).run(rows), oracle(rows), atol=1e-5)


def test_an_answer_stays_as_it_was_when_the_next_one_is_given(artifact):
    session = load(artifact())
    first = session.run(ROWS[:1])
    session.run(ROWS[1:2])
    np.testing.assert_allclose(first, [[-1.0, 2.75]], atol=1e-6)


def test_threads_of_the_caller_do_not_get_each_others_answers(artifact, oracle):
    session, rows = load(artifact()), np.random.default_rng(0).normal(size=(400, 1, 3)).astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(session.run, rows))
    np.testing.assert_allclose(np.concatenate(answers), oracle(rows[:, 0]), atol=1e-5)


def test_the_place_says_machine_runtime_version_and_threads(artifact):
    place = load(artifact(), threads=2).place
    assert (place.runtime, place.threads, place.estimated) == ("openvino", 2, False)
    assert import_openvino().__version__.startswith(place.versions["openvino"])
    assert place.machine.endswith(("core", "cores"))


def test_threads_streams_and_float32_are_as_asked_for_and_nothing_is_quantized_on_the_way(artifact):
    compiled = load(artifact(), threads=2)._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 2
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 0
    assert compiled.get_property("EXECUTION_DEVICES") == ["CPU"]


def test_another_precision_than_asked_for_is_an_error(artifact, monkeypatch):
    monkeypatch.setattr(
        "galenic.runtimes.openvino._options", lambda threads, arithmetic, unit: {"INFERENCE_PRECISION_HINT": "bf16"}
    )
    with pytest.raises(ModelError, match=r"computes .* in bf16"):
        load(artifact())


def test_loading_says_nothing(artifact, capfd):
    load(artifact()).run(ROWS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("device", ["GPU.7", "tpu", ""])
def test_a_device_that_is_not_here_is_refused(artifact, device):
    with pytest.raises(InputError, match=f"the device '{device}' for OpenVINO; expected one of cpu, .*CPU"):
        load(artifact(), device=device)
    assert load(artifact(), device="CPU").place.device == "CPU"


def test_no_threads_are_refused(artifact):
    with pytest.raises(InputError, match="0 threads"):
        load(artifact(), threads=0)


def test_one_flipped_bit_is_refused(artifact):
    made = artifact(runtime="openvino")
    data = bytearray(made.path.read_bytes())
    data[len(data) // 2] ^= 1
    made.path.write_bytes(data)
    with pytest.raises(ModelError, match=f"has changed: {len(data)} bytes with sha256 "):
        load(made)


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"\x80\x04\x95\x10\x00\x00\x00"])
def test_what_is_no_onnx_file_is_refused_even_with_the_right_hash(artifact, data):
    with pytest.raises(ModelError, match="is not a model that OpenVINO can load"):
        load(artifact(data))


def test_every_truncation_is_refused(artifact, make_dense):
    whole = make_dense().SerializeToString()
    for length in range(0, len(whole) - 1, 7):
        with pytest.raises(ModelError):
            load(artifact(whole[:length]))


def test_external_data_is_refused_although_the_other_file_is_there(artifact, make_dense, tmp_path):
    model = make_dense()
    onnx.external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"keeps 2 tensors in other files \(weights, bias"):
        load(artifact((tmp_path / "model.onnx").read_bytes()))


def test_an_operation_that_it_does_not_know_is_refused(artifact, make_dense):
    model = make_dense()
    model.graph.node[1].op_type = "NoSuchOperation"
    with pytest.raises(ModelError, match="is not a model that OpenVINO can load"):
        load(artifact(model))


def test_a_file_for_other_inputs_is_refused_with_both_shapes(artifact, make_dense):
    with pytest.raises(ModelError, match=r"takes inputs of shape \(batch, 5\); expected \(batch, 3\)"):
        load(artifact(make_dense(features=5)))


def test_a_file_with_another_number_of_classes_is_refused_with_both_numbers(artifact):
    with pytest.raises(ModelError, match=r"has 2 classes; expected 3 classes \(a, b, c\)"):
        load(artifact(classes=("a", "b", "c")))


def cast() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["input"], ["logits"], to=TensorProto.FLOAT)],
        "cast",
        [helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_file_with_integer_inputs_is_refused(artifact):
    with pytest.raises(ModelError, match="input i64"):
        load(artifact(cast(), classes=("a", "b", "c")))


def test_a_text_net_takes_its_integers(artifact):
    text = WordPieces(vocabulary=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"))
    reading = Preprocessing(modality=Modality.TEXT, raw_shape=(3,), scale=1.0, mean=(), std=(), text=text)
    made = artifact(cast(), classes=("a", "b", "c"), preprocessing=reading)
    ids = np.array([[2, 4, 3], [2, 5, 3]])
    np.testing.assert_array_equal(load(made).run(ids), ids.astype(np.float32))


def test_inputs_of_another_type_or_shape_are_refused(artifact):
    session = load(artifact())
    for wrong in (ROWS.astype(np.float64), ROWS[:, :2], ROWS[0], ROWS[:0]):
        with pytest.raises(DataError):
            session.run(wrong)


def test_an_artifact_names_its_runtime_and_an_outside_onnx_file_is_for_onnxruntime(artifact):
    made = artifact(runtime="openvino")
    assert open_session(made).place.runtime == "openvino"
    outside = artifact_of_file(made.path, made.preprocessing, made.classes)
    assert (outside.runtime, open_session(outside).place.runtime) == ("onnxruntime", "onnxruntime")


QUIET = """
import os, sys
from galenic.record.artifact import Artifact
from galenic.runtimes.load import open_session, require_runtime
if sys.argv[1]:
    open_session(Artifact.model_validate_json(sys.argv[1]))
else:
    require_runtime("openvino").imported()
assert "openvino" in sys.modules
print(sorted(name for name in sys.modules if name.startswith("openvino_telemetry")), os.listdir(os.environ["HOME"]))
"""


@pytest.mark.parametrize("loads", [True, False])
def test_nothing_is_reported_and_nothing_is_kept_in_the_home_folder(artifact, tmp_path, loads):
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in {"CI", "TF_BUILD", "JENKINS_URL"}}
    given = artifact(runtime="openvino").model_dump_json() if loads else ""
    child = subprocess.run(
        [sys.executable, "-c", QUIET, given],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.stdout.strip(), child.stderr) == ("[] []", "")


def test_the_telemetry_package_can_be_imported_afterwards(artifact):
    load(artifact())
    assert sys.modules.get("openvino_telemetry", 0) is not None


def test_where_it_is_not_installed_the_command_is_named(artifact, monkeypatch):
    monkeypatch.setattr("galenic.runtimes.runtime.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"pip install 'galenic\[openvino\]'"):
        load(artifact())
    assert not RUNTIME.available
