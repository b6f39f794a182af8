"""Small ONNX files made with the onnx package, which the runtimes' own code never imports."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Modality, Preprocessing

WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]], np.float32)
BIAS = np.array([0.5, -0.5], np.float32)
PREPROCESSING = Preprocessing(
    modality=Modality.TABLE, raw_shape=(3,), scale=0.5, mean=(1.0, 0.0, -1.0), std=(2.0, 1.0, 4.0)
)


def dense(batch: int | str = "batch", softmax: bool = False, features: int = 3) -> onnx.ModelProto:
    weights = WEIGHTS if features == 3 else np.zeros((2, features), np.float32)
    nodes = [helper.make_node("Gemm", ["input", "weights", "bias"], ["dense"], transB=1)]
    nodes.append(helper.make_node("Softmax" if softmax else "Identity", ["dense"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, features])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(BIAS, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[..., Artifact]:
    """Bytes (or a graph) as a file with its Artifact."""

    def make(model: onnx.ModelProto | bytes | None = None, **changes: object) -> Artifact:
        data = model if isinstance(model, bytes) else (model or dense()).SerializeToString()
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        made = Artifact(
            path=path,
            runtime="onnxruntime",
            precision="float32",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            lineage=("dense",),
            preprocessing=PREPROCESSING,
            classes=("benign", "malignant"),
        )
        return made.model_copy(update=changes)

    return make


@pytest.fixture
def make_dense() -> Callable[..., onnx.ModelProto]:
    return dense


@pytest.fixture
def oracle() -> Callable[[np.ndarray], np.ndarray]:
    """The same layer in numpy."""
    return lambda inputs: inputs @ WEIGHTS.T + BIAS
