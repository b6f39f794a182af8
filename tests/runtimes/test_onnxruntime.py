import hashlib
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from galenic.record.errors import DataError, InputError, MissingPackage, ModelError
from galenic.runtimes.onnxruntime import RUNTIME, load

ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 0.0]], np.float32)


def test_it_answers_what_the_layer_computes_by_hand(artifact):
    answers = load(artifact()).run(ROWS)
    # row 0: 1 - 4 + 1.5 + 0.5 = -1 and 0.25 + 6 - 3 - 0.5 = 2.75; row 2 is the bias
    np.testing.assert_allclose(answers, [[-1.0, 2.75], [-1.5, 0.75], [0.5, -0.5]], rtol=0, atol=1e-6)
    assert answers.dtype == np.float32


def test_the_place_says_machine_runtime_version_and_threads(artifact):
    place = load(artifact(), threads=2).place
    assert (place.runtime, place.threads, place.estimated) == ("onnxruntime", 2, False)
    assert place.versions == {"onnxruntime": onnxruntime.__version__}
    assert place.machine.endswith(("core", "cores"))


def test_threads_are_pinned_in_the_session_and_the_provider_is_the_one_asked_for(artifact):
    session = load(artifact(), threads=2)._session
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_a_provider_that_fell_back_is_an_error(artifact, monkeypatch):
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: ["AzureExecutionProvider"])
    with pytest.raises(ModelError, match="AzureExecutionProvider"):
        load(artifact())


def test_a_provider_may_be_asked_for_by_its_own_name(artifact):
    session = load(artifact(), device="CPUExecutionProvider")
    assert (session.place.device, load(artifact()).place.device) == ("CPUExecutionProvider", "cpu")
    np.testing.assert_array_equal(session.run(ROWS), load(artifact()).run(ROWS))


@pytest.mark.parametrize("device", ["gpu", "CUDAExecutionProvider", "tpu", ""])
def test_a_device_that_is_not_here_is_refused_and_nothing_falls_back(artifact, monkeypatch, device):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(InputError, match=f"the device '{device}' for ONNX Runtime; expected one of cpu, CPUExec"):
        load(artifact(), device=device)


def test_gpu_is_the_first_gpu_provider_of_the_package(artifact, monkeypatch):
    asked = {}

    def opened(data, options, providers):
        asked["providers"] = providers
        asked["fallback"] = options.get_session_config_entry("session.disable_cpu_ep_fallback")
        raise RuntimeError("no card")

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["DmlExecutionProvider", "CUDAExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    with pytest.raises(ModelError, match="no card"):
        load(artifact(), device="gpu")
    assert asked == {"providers": ["CUDAExecutionProvider"], "fallback": "1"}


def test_no_threads_are_refused(artifact):
    with pytest.raises(InputError, match="0 threads"):
        load(artifact(), threads=0)


def test_a_missing_file_is_named(artifact, tmp_path):
    with pytest.raises(ModelError, match=r"gone\.onnx, which cannot be read \(No such file"):
        load(artifact(path=tmp_path / "gone.onnx"))


def test_one_flipped_bit_is_refused(artifact):
    made = artifact()
    data = bytearray(made.path.read_bytes())
    data[len(data) // 2] ^= 1
    made.path.write_bytes(data)
    with pytest.raises(
        ModelError, match=f"has changed: {len(data)} bytes with sha256 .* expected .*{made.sha256[:16]}"
    ):
        load(made)


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"\x80\x04\x95\x10\x00\x00\x00"])
def test_what_is_no_onnx_file_is_refused_even_with_the_right_hash(artifact, data):
    with pytest.raises(ModelError, match="is not a model that ONNX Runtime can load"):
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
    assert (tmp_path / "weights.bin").stat().st_size > 0
    with pytest.raises(ModelError, match=r"keeps 2 tensors in other files \(weights, bias"):
        load(artifact((tmp_path / "model.onnx").read_bytes()))


def test_a_file_for_other_inputs_is_refused_with_both_shapes(artifact, make_dense):
    with pytest.raises(ModelError, match=r"takes inputs of shape \(batch, 5\); expected \(batch, 3\)"):
        load(artifact(make_dense(features=5)))


def test_a_file_with_another_number_of_classes_is_refused_with_both_numbers(artifact):
    with pytest.raises(ModelError, match=r"has 2 classes; expected 3 classes \(a, b, c\)"):
        load(artifact(classes=("a", "b", "c")))


def test_a_file_with_integer_inputs_is_refused(artifact):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["input"], ["logits"], to=TensorProto.FLOAT)],
        "cast",
        [helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
    )
    with pytest.raises(ModelError, match=r"input tensor\(int64\)"):
        load(artifact(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)))


@pytest.mark.parametrize(
    "inputs", [np.zeros((2, 4), np.float32), np.zeros((2, 3)), np.zeros((3,), np.float32), [[1.0, 2.0, 3.0]]]
)
def test_wrong_inputs_are_refused_at_run(artifact, inputs):
    with pytest.raises(DataError, match=r"expected float32 \(batch, 3\)"):
        load(artifact()).run(inputs)


def test_no_rows_are_refused(artifact):
    with pytest.raises(DataError, match="no rows"):
        load(artifact()).run(np.zeros((0, 3), np.float32))


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_file_with_a_fixed_batch_answers_any_number_of_rows(artifact, make_dense, oracle, batch):
    session = load(artifact(make_dense(batch=batch)))
    assert session.batch == batch
    np.testing.assert_allclose(session.run(ROWS), oracle(ROWS), rtol=0, atol=1e-6)


def test_a_runtime_that_is_not_installed_is_said_at_once_with_one_command(artifact, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # makes the import really impossible
    assert not RUNTIME.available
    with pytest.raises(MissingPackage, match=r"run: pip install 'galenic\[onnxruntime\]'"):
        load(artifact())


def test_the_file_that_was_hashed_is_the_one_that_is_loaded(artifact, make_dense, monkeypatch):
    made = artifact()
    whole = made.path.read_bytes()
    seen = []
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda data, *rest, **more: seen.append(data) or real(data, *rest, **more)
    )
    load(made)
    assert hashlib.sha256(seen[0]).hexdigest() == made.sha256 == hashlib.sha256(whole).hexdigest()


def test_nothing_is_reported_and_nothing_is_kept_in_the_home_folder(artifact, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import os, sys\n"
        "from galenic.record.artifact import Artifact\n"
        "from galenic.runtimes.load import open_session\n"
        "open_session(Artifact.model_validate_json(sys.argv[1]))\n"
        "print(os.listdir(os.environ['HOME']))"
    )
    environment = {key: value for key, value in os.environ.items() if key not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    child = subprocess.run(
        [sys.executable, "-c", code, artifact().model_dump_json()],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.stdout.strip(), child.stderr) == ("[]", "")
