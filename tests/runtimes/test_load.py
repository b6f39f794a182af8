import subprocess
import sys

import numpy as np
import pytest

from galenic.record.errors import ModelError, RecipeError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.runtimes.load import RUNTIMES, artifact_of_file, open_session, require_runtime, runtime_named

TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(3,), scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
IMAGE = Preprocessing(modality=Modality.IMAGE, raw_shape=(8, 9, 3), scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)


def test_every_runtime_has_its_own_name_suffix_and_command():
    assert len({runtime.name for runtime in RUNTIMES}) == len(RUNTIMES)
    for runtime in RUNTIMES:
        assert runtime.install.startswith(("pip install 'galenic[", "apt-get install ", "python -m venv "))
        assert all(suffix.startswith(".") for suffix in runtime.suffixes)
        assert runtime.summary


def test_an_unknown_runtime_is_refused_with_the_nearest_name():
    assert runtime_named("onnxruntime") is require_runtime("onnxruntime")
    with pytest.raises(RecipeError, match="did you mean 'onnxruntime'"):
        require_runtime("onnxruntim")


def test_an_outside_file_becomes_an_artifact_that_answers(artifact, oracle):
    path = artifact().path
    made = artifact_of_file(path, TABLE, ("benign", "malignant"))
    rows = np.array([[1.0, 2.0, 3.0]], np.float32)
    np.testing.assert_allclose(open_session(made).run(rows), oracle(rows), atol=1e-6)
    assert (made.size_bytes, made.sha256) == (path.stat().st_size, artifact().sha256)
    assert (made.lineage, made.macs, made.parameters) == (("file:model.onnx",), 0, 0)


def test_an_outside_file_for_another_task_is_refused_with_both_numbers(artifact):
    path = artifact().path
    with pytest.raises(ModelError, match=r"inputs of shape \(batch, 3\); expected \(batch, 3, 8, 9\)"):
        artifact_of_file(path, IMAGE, ("benign", "malignant"))
    with pytest.raises(ModelError, match="has 2 classes; expected 4 classes"):
        artifact_of_file(path, TABLE, ("a", "b", "c", "d"))


def test_an_outside_file_that_answers_probabilities_is_refused(artifact, make_dense):
    path = artifact(make_dense(softmax=True)).path
    with pytest.raises(ModelError, match="every row sums to 1; expected logits"):
        artifact_of_file(path, TABLE, ("benign", "malignant"))


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model"])
def test_a_pickle_is_refused_unopened(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"cos\nsystem\n(S'touch /tmp/galenic-was-here'\ntR.")
    path.chmod(0)
    with pytest.raises(ModelError, match="it was not opened"):
        artifact_of_file(path, TABLE, ("a", "b"))


def test_a_path_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="which is not a file"):
        artifact_of_file(tmp_path / "gone.onnx", TABLE, ("a", "b"))


def test_the_runtimes_and_measuring_rooms_import_neither_torch_nor_onnx():
    rooms = (
        "galenic.runtimes.load, galenic.runtimes.answer, galenic.measuring.predict, galenic.measuring.latency, "
        "galenic.measuring.memory, galenic.measuring.memory_child, galenic.measuring.parity"
    )
    unwanted = "'torch', 'onnx', 'onnxruntime', 'openvino', 'ai_edge_litert', 'scipy', 'sklearn'"
    code = f"import sys, {rooms}\nprint(sorted({{{unwanted}}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
