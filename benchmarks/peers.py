"""The peers' own post-training quantizers on our float files and our calibration rows, opened as Sessions.

onnxruntime    quantize_static with its defaults, after its own quant_pre_process
openvino       NNCF's quantize with its defaults, on the model as OpenVINO reads it
litert         ai-edge-quantizer's static_wi8_ai8, with float inputs and outputs as ours have
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.quiet import hidden
from galenic.record.session import Session
from galenic.runtimes.load import open_session
from galenic.runtimes.openvino import OpenvinoSession, import_openvino

INPUT = "input"


def onnxruntime_peer(plain: Artifact, rows: np.ndarray, folder: Path) -> Session:
    """ONNX Runtime's quantize_static."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[np.ndarray] = iter(rows[:, None])

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self._rows, None)
            return None if row is None else {INPUT: row}

    prepared, path = folder / "prepared.onnx", folder / "peer.onnx"
    quant_pre_process(str(plain.path), str(prepared), skip_symbolic_shape=True)
    quantize_static(str(prepared), str(path), Reader())
    return open_session(_artifact(plain, path), threads=1)


def openvino_peer(plain: Artifact, rows: np.ndarray, folder: Path) -> Session:
    """NNCF's quantize; compiled as our Sessions are."""
    openvino = import_openvino()
    with hidden("openvino_telemetry"):
        import nncf
    core = openvino.Core()
    model = core.read_model(str(plain.path))
    model.reshape([1, *plain.preprocessing.input_shape])
    made = nncf.quantize(model, nncf.Dataset(list(rows[:, None])))
    openvino.save_model(made, str(folder / "peer.xml"), compress_to_fp16=False)
    options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(made, "CPU", options | {"INFERENCE_PRECISION_HINT": "f32"})
    place = open_session(plain, threads=1).place
    artifact = _artifact(plain, folder / "peer.bin")
    return OpenvinoSession(artifact, place, 1, compiled.create_infer_request(), Lock())


def litert_peer(plain: Artifact, rows: np.ndarray, folder: Path) -> Session:
    """ai-edge-quantizer's static recipe."""
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(bytearray(plain.path.read_bytes()), recipe.static_wi8_ai8())
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        quantizer.update_quantization_recipe(".*", end, None, "no_quantize")
    name, entry = _signature(plain)
    found = quantizer.calibrate({name: [{entry: row} for row in rows[:, None]]}, num_threads=1)
    path = folder / "peer.tflite"
    path.write_bytes(bytes(quantizer.quantize(found).quantized_model))
    return open_session(_artifact(plain, path), threads=1)


PEERS: Mapping[str, Callable[[Artifact, np.ndarray, Path], Session]] = {
    "onnxruntime": onnxruntime_peer,
    "openvino": openvino_peer,
    "litert": litert_peer,
}


def _signature(plain: Artifact) -> tuple[str, str]:
    """The name of the file's signature, and of its one input there."""
    from ai_edge_litert.interpreter import Interpreter

    found: dict[str, Any] = Interpreter(model_content=plain.path.read_bytes()).get_signature_list()
    name = next(iter(found))
    return name, found[name]["inputs"][0]


def _artifact(plain: Artifact, path: Path) -> Artifact:
    data = path.read_bytes()
    update = {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), "precision": "int8"}
    return plain.model_copy(update=update)
