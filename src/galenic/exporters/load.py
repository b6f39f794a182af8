"""Every exporter, by the runtime that it writes for."""

from __future__ import annotations

from galenic.exporters import (
    c,
    coreml,
    executorch,
    litert,
    onnxruntime,
    onnxruntime_mobile,
    openvino,
    tensorrt,
    tflite_micro,
    torch_mobile,
)
from galenic.exporters.exporter import Exporter
from galenic.record.errors import RecipeError

EXPORTERS: tuple[Exporter, ...] = (
    onnxruntime.EXPORTER,
    openvino.EXPORTER,
    litert.EXPORTER,
    executorch.EXPORTER,
    onnxruntime_mobile.EXPORTER,
    torch_mobile.EXPORTER,
    tensorrt.EXPORTER,
    coreml.EXPORTER,
    tflite_micro.EXPORTER,
    c.EXPORTER,
)


def exporter_for(runtime: str) -> Exporter:
    """The exporter that writes files for ``runtime``; RecipeError where there is none."""
    for exporter in EXPORTERS:
        if exporter.runtime == runtime:
            return exporter
    raise RecipeError(
        given=f"the runtime '{runtime}', which no exporter writes for",
        expected=f"one of {', '.join(exporter.runtime for exporter in EXPORTERS)}",
        todo="correct the name of the runtime",
    )
