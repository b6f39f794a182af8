"""A float graph in float16: weights and arithmetic, with float32 at its ends."""

from __future__ import annotations

import warnings

from onnx import ModelProto

from galenic.exporters.ends import Lowered
from galenic.exporters.onnx_graph import serialized, strip
from galenic.record.artifact import IntegerOps
from galenic.zoo.model import Model


def lower_half(model: Model, graph: ModelProto) -> Lowered:
    """A model whose rule is FLOAT16 as the bytes of an ONNX file; values that float16 cannot tell from zero become zero."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    made = ModelProto()
    made.CopyFrom(graph)
    with warnings.catch_warnings():
        # Said of each weight that is cut to the nearest float16 number.
        warnings.filterwarnings("ignore", message="the float32 number .* will be truncated")
        made = convert_float_to_float16(made, keep_io_types=True)
    strip(made)
    return Lowered(serialized(made), "float16", model.quant, IntegerOps(integer=0, floating=0, expected=0))
