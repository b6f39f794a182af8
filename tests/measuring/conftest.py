"""A tiny dense layer as an ONNX file, its session, and a task for it."""

import hashlib

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.task import Split, SplitName, Task, TaskKind
from galenic.runtimes.onnxruntime import load

WEIGHTS = np.array([[1.0, -1.0], [0.5, 2.0]], np.float32)
CLASSES = ("benign", "malignant")
PREPROCESSING = Preprocessing(modality=Modality.TABLE, raw_shape=(2,), scale=1.0, mean=(1.0, 0.0), std=(1.0, 2.0))


@pytest.fixture
def artifact(tmp_path) -> Artifact:
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["input", "weights"], ["logits"], transB=1)],
        "dense",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    path = tmp_path / "dense.onnx"
    path.write_bytes(data)
    return Artifact(
        path=path,
        runtime="onnxruntime",
        precision="float32",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        lineage=("dense",),
        preprocessing=PREPROCESSING,
        classes=CLASSES,
    )


@pytest.fixture
def session(artifact):
    return load(artifact)


@pytest.fixture
def task() -> Task:
    rng = np.random.default_rng(0)

    def split(name: str, rows: int) -> Split:
        return Split(
            inputs=rng.normal(size=(rows, 2)).astype(np.float32),
            labels=rng.integers(0, 2, rows),
            ids=np.array([f"{name}-{row}" for row in range(rows)]),
            groups={"sex": np.array(["f", "m"] * rows)[:rows]},
            clusters=np.array([f"patient-{row // 2}" for row in range(rows)]),
        )

    return Task(
        name="two numbers",
        kind=TaskKind.SINGLE_LABEL,
        classes=CLASSES,
        positive=(1,),
        splits={name: split(name.value, 7) for name in SplitName},
        preprocessing=PREPROCESSING,
        source="made here",
        synthetic=True,
    )
