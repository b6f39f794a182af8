"""Calibration: the range of every float tensor of an ONNX graph over the calibration rows.

The graph runs in ONNX Runtime with all its tensors as outputs, so many rows at a time that they fit in memory. The
first pass finds each tensor's smallest and largest value; the second, where the observer wants one, its histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from galenic.exporters.observers import BINS, Range, entropy_range, percentile_range
from galenic.exporters.onnx_graph import INPUT
from galenic.record.errors import ModelError
from galenic.record.quant import Observer

MOST_VALUES = 2**25  # at a time: 128 MB of float32
MOST_ROWS = 64
FATAL_ONLY = 4

FROM_HISTOGRAM: dict[Observer, Callable[[np.ndarray, float, float], Range]] = {
    Observer.PERCENTILE: percentile_range,
    Observer.ENTROPY: entropy_range,
}


def find_ranges(graph: ModelProto, rows: np.ndarray, observer: Observer) -> dict[str, Range]:
    """Tensor name -> (low, high) over ``rows`` (n, *input_shape) float32."""
    run = _observing(graph)
    size = sum(value.size for value in run(rows[:1]).values())
    batch = min(max(MOST_VALUES // size, 1), MOST_ROWS)
    extremes: dict[str, Range] = {}
    for values in _batches(run, rows, batch):
        for name, value in values.items():
            low, high = extremes.get(name, (np.inf, -np.inf))
            # numpy's minimum, unlike Python's min, keeps a NaN
            extremes[name] = (float(np.minimum(low, value.min())), float(np.maximum(high, value.max())))
    _check_finite(extremes)
    if observer is Observer.MIN_MAX:
        return extremes
    counts = {name: np.zeros(BINS, dtype=np.int64) for name in extremes}
    for values in _batches(run, rows, batch):
        for name, value in values.items():
            counts[name] += np.histogram(value, bins=BINS, range=extremes[name])[0]
    to_range = FROM_HISTOGRAM[observer]
    return {name: to_range(counts[name], *extremes[name]) for name in extremes}


def _batches(
    run: Callable[[np.ndarray], dict[str, np.ndarray]], rows: np.ndarray, batch: int
) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(rows), batch):
        yield run(rows[start : start + batch])


def _observing(graph: ModelProto) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function from rows to every float tensor that they become, the input included."""
    import onnxruntime

    watched = onnx.shape_inference.infer_shapes(graph)
    shown = {end.name for end in watched.graph.output}
    floats = [
        info
        for info in watched.graph.value_info
        if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and info.name not in shown
    ]
    constants = {tensor.name for tensor in watched.graph.initializer}
    watched.graph.output.extend(info for info in floats if info.name not in constants)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.intra_op_num_threads = 1
    # Plain kernels, so that the ranges do not depend on which fusions this machine's build has.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session: Any = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [end.name for end in session.get_outputs()]

    def run(rows: np.ndarray) -> dict[str, np.ndarray]:
        return {INPUT: rows, **dict(zip(names, session.run(names, {INPUT: rows}), strict=True))}

    return run


def _check_finite(extremes: dict[str, Range]) -> None:
    for name, extreme in extremes.items():
        if not np.isfinite(extreme).all():
            raise ModelError(
                given=f"the layer {name} gives {extreme} on the calibration rows",
                expected="finite values",
                todo="train the model again with a lower learning rate: an integer has no NaN",
            )
