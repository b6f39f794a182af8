"""Every float tensor of an ONNX graph on some rows, computed by ONNX Runtime with plain kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from galenic.exporters.onnx_graph import INPUT

FATAL_ONLY = 4


def onnx_values(graph: ModelProto, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> value of the input and of every float tensor between it and the logits, for (n, *input_shape) ``rows``."""
    import onnxruntime

    watched = onnx.shape_inference.infer_shapes(graph)
    shown = {end.name for end in watched.graph.output} | {tensor.name for tensor in watched.graph.initializer}
    floats = (info for info in watched.graph.value_info if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT)
    watched.graph.output.extend(info for info in floats if info.name not in shown)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session: Any = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [end.name for end in session.get_outputs()]
    return {INPUT: rows, **dict(zip(names, session.run(names, {INPUT: rows}), strict=True))}
