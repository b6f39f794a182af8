"""A dense layer of two numbers as an ONNX file with its card beside it, for tests that time files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from galenic.pipeline.card import write_card
from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Modality, Preprocessing

PREPROCESSING = Preprocessing(modality=Modality.TABLE, raw_shape=(2,), scale=1.0, mean=(0.0, 0.0), std=(1.0, 1.0))


def tiny_file(path: Path, *, factor: float = 1.0, card: bool = True, **changes: object) -> Artifact:
    """Write the file (its weights are ``factor``), and its card unless that is not wanted; ``changes`` go into the card."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["input", "weights"], ["logits"], name="dense")],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.full((2, 2), factor, np.float32), "weights")],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    path.write_bytes(data)
    artifact = Artifact(
        path=path,
        runtime="onnxruntime",
        precision="float32",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        lineage=("dense",),
        preprocessing=PREPROCESSING,
        classes=("ill", "well"),
        macs=4,
        parameters=4,
    ).model_copy(update=changes)
    if card:
        write_card(artifact, path)
    return artifact
