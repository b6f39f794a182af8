"""The integer activations inside of a file as it answers, where a runtime shows them.

    onnxruntime    what each QuantizeLinear makes, in the graph as the runtime optimises it
    litert         every int8 tensor that is left in memory when it is asked to keep them; its answers are the same then
OpenVINO and ExecuTorch show none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from galenic.exporters.litert_graph import silence
from galenic.exporters.onnx_coverage import session_options
from galenic.exporters.onnx_graph import INPUT
from galenic.exporters.onnx_qdq import Q
from galenic.record.artifact import Artifact

UINT8_SHIFT = 128


@dataclass(frozen=True)
class Inside:
    """One activation of a file.

    Attributes:
        name: in the file.
        scale: of its grid.
        integers: (rows, channels, positions) uint8; (rows, 1, features) where it has no channels of their own.
    """

    name: str
    scale: float
    integers: np.ndarray


def onnxruntime_insides(artifact: Artifact, rows: np.ndarray) -> list[Inside]:
    """Of a QDQ file, for (n, *input_shape) float32 ``rows``."""
    import onnxruntime

    model = onnx.load(artifact.path)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made = {node.output[0]: node for node in model.graph.node if node.op_type == Q and node.input[0] not in constants}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in made)
    options = session_options(keeps_float=artifact.quant is not None and bool(artifact.quant.stays_float))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(list(made), {INPUT: rows})
    return [
        Inside(node.input[0], float(numpy_helper.to_array(constants[node.input[1]])), _channels_first(value))
        for node, value in zip(made.values(), values, strict=True)
    ]


def litert_insides(artifact: Artifact, rows: np.ndarray) -> list[Inside]:
    """Of a .tflite file, for (n, *input_shape) float32 ``rows``, one at a time."""
    with silence():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(
            model_content=artifact.path.read_bytes(),
            num_threads=1,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    held = [one for one in interpreter.get_tensor_details() if one["dtype"] is np.int8 and _is_activation(one)]
    found: list[list[np.ndarray]] = [[] for _ in held]
    entry = interpreter.get_input_details()[0]
    first = tuple(entry["shape"][1:]) == rows.shape[1:]
    for row in rows if first else np.moveaxis(rows, 1, -1):
        interpreter.set_tensor(entry["index"], row[None])
        interpreter.invoke()
        for kept, one in zip(found, held, strict=True):
            kept.append((interpreter.get_tensor(one["index"]).astype(np.int16) + UINT8_SHIFT).astype(np.uint8))
    return [
        Inside(one["name"], float(one["quantization"][0]), _channels_last(np.concatenate(kept)))
        for kept, one in zip(found, held, strict=True)
    ]


INSIDES: Mapping[str, Callable[[Artifact, np.ndarray], list[Inside]]] = {
    "onnxruntime": onnxruntime_insides,
    "litert": litert_insides,
}


def _is_activation(one: dict[str, object]) -> bool:
    shape, quantization = one["shape"], one["quantization"]
    assert isinstance(shape, np.ndarray)
    assert isinstance(quantization, tuple)
    return len(shape) > 1 and shape[0] == 1 and quantization[0] != 0


def _channels_first(value: np.ndarray) -> np.ndarray:
    return value.reshape(len(value), value.shape[1] if value.ndim > 2 else 1, -1)


def _channels_last(value: np.ndarray) -> np.ndarray:
    if value.ndim < 3:
        return value.reshape(len(value), 1, -1)
    return np.ascontiguousarray(value.reshape(len(value), -1, value.shape[-1]).transpose(0, 2, 1))
