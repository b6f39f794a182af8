import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from galenic.measuring.memory import measure_memory
from galenic.record.errors import ModelError
from galenic.runtimes.load import open_session


def test_a_child_answers_and_says_what_it_took(artifact):
    found = measure_memory(artifact, np.zeros((2, 2), np.float32))
    assert 10 < found.baseline_mb < found.peak_mb < 1000
    assert (found.peak.value, found.peak.unit, found.peak.n) == (found.peak_mb, "MB", 1)
    assert found.peak.place == open_session(artifact).place


def test_a_heavier_file_takes_about_its_weight_more(artifact, tmp_path):
    light = measure_memory(artifact, np.zeros((1, 2), np.float32))
    model = onnx.load(artifact.path)
    weight = np.ones((5_000_000, 2), np.float32)  # 40 MB
    model.graph.initializer.append(numpy_helper.from_array(weight, "heavy"))
    model.graph.node.insert(0, helper.make_node("ReduceMax", ["heavy", "axes"], ["most"], keepdims=1))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "axes"))
    model.graph.node[1].output[0] = "dense"
    model.graph.node.append(helper.make_node("Mul", ["dense", "most"], ["logits"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]))
    data = model.SerializeToString()
    artifact.path.write_bytes(data)

    heavy = artifact.model_copy(update={"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)})
    assert measure_memory(heavy, np.zeros((1, 2), np.float32)).peak_mb > light.peak_mb + 40


@pytest.mark.slow
def test_a_worker_process_counts_as_well(artifact):
    data = (Path(__file__).parents[1] / "runtimes" / "dense.pte").read_bytes()
    artifact.path.write_bytes(data)
    wide = artifact.preprocessing.model_copy(update={"raw_shape": (3,), "mean": (0.0,) * 3, "std": (1.0,) * 3})
    made = {"runtime": "executorch", "sha256": hashlib.sha256(data).hexdigest(), "preprocessing": wide}
    found = measure_memory(artifact.model_copy(update=made), np.zeros((1, 3), np.float32))
    # torch alone has more than 150 MB, and is in the worker
    assert 180 < found.baseline_mb < found.peak_mb < 1000


def test_a_child_that_cannot_load_the_file_says_why(artifact):
    changed = artifact.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ModelError, match=r"could not load .*has changed"):
        measure_memory(changed, np.zeros((1, 2), np.float32))


def test_a_process_grows_by_what_it_takes():
    # A fresh process: in this one, freed memory of other tests would be used again.
    code = (
        "import numpy as np\n"
        "from galenic.measuring.memory_child import resident_mb\n"
        "before = resident_mb('VmRSS')\n"
        "taken = np.ones(30_000_000 // 8)\n"
        "print(resident_mb('VmRSS') - before, resident_mb('VmHWM') - before)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, peak = map(float, said.stdout.split())
    assert 28 < grown < 40
    assert peak >= grown


def test_the_peak_is_the_childs_own_and_not_its_parents(artifact):
    # A parent of 300 MB starts the child; getrusage in the child would say at least 300 MB.
    code = (
        "import json, sys, numpy as np\n"
        "from galenic.measuring.memory import measure_memory\n"
        "from galenic.record.artifact import Artifact\n"
        "big = np.ones(300_000_000 // 8)\n"
        "artifact = Artifact.model_validate(json.load(sys.stdin))\n"
        "print(measure_memory(artifact, np.zeros((1, 2), np.float32)).peak_mb)"
    )
    order = json.dumps(artifact.model_dump(mode="json"))
    said = subprocess.run([sys.executable, "-c", code], input=order, capture_output=True, text=True, check=True)
    assert float(said.stdout) < 250
