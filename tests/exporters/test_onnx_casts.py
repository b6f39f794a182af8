"""A float16 layer of a QDQ file takes half its bytes and answers with the same numbers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from galenic.compress.quantize.simulate import simulated
from galenic.exporters.load import exporter_for
from galenic.exporters.onnx_casts import half_layers
from galenic.record.quant import HALF_BITS, LayerRule, QuantRule
from galenic.runtimes.load import open_session
from galenic.zoo.graph import traced


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_last_layer_is_stored_in_float16_and_the_rest_in_integers(
    runtime, wrap, integers, ends, rows, tmp_path
) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    model = wrap(net, (2, 8, 8), 4)
    half = LayerRule(layer="3", weight_bits=HALF_BITS, activation_bits=HALF_BITS)
    made = integers(model, rows(64, (2, 8, 8)), QuantRule(layers=(half,)))
    kept = integers(model, rows(64, (2, 8, 8)), QuantRule(keep=("3",)))
    exporter = exporter_for(runtime)
    exporter.check_rule(made.quant.rule)
    artifact = exporter.export(made, tmp_path / "half.onnx", **ends(model))
    whole = exporter.export(kept, tmp_path / "float.onnx", **ends(model))
    saved = 2 * (4 * 8 * 36 + 4)  # bytes
    assert saved - 300 < whole.size_bytes - artifact.size_bytes <= saved
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(artifact.path).graph.initializer}
    assert {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16} == {
        "3.weight:float16",
        "3.bias:float16",
    }
    assert artifact.integer_ops is not None
    assert (artifact.integer_ops.integer, artifact.integer_ops.expected) == (1, 1)
    inputs = rows(40, (2, 8, 8), 3)
    with torch.no_grad():
        expected = simulated(traced(made), artifact.quant.points, torch.from_numpy(inputs)).numpy()
    answers = open_session(artifact).run(inputs)
    assert np.isclose(answers, expected, atol=2e-3).mean() > 0.95
    assert half_layers(made.quant) == ("3",)
    assert half_layers(kept.quant) == ()
