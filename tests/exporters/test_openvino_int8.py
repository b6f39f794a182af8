"""INT8 for OpenVINO: the model's points but for those before activations, counted as compiled, and as simulated."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import nn

from galenic.compress.quantize.half import HalfFormat, HalfPrecision, to_half
from galenic.compress.quantize.simulate import simulated
from galenic.exporters.openvino import EXPORTER
from galenic.record.quant import QuantRule, TensorRole
from galenic.runtimes.load import open_session
from galenic.zoo.graph import traced


def activated() -> nn.Sequential:
    """Convolutions with each kind of activation behind them."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.Hardswish(),
        nn.Conv2d(4, 4, 3),
        nn.SiLU(),
        nn.Conv2d(4, 4, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def test_the_file_computes_on_integers_what_is_simulated(wrap, integers, ends, rows, tmp_path) -> None:
    torch.manual_seed(0)
    shape = (2, 8, 8)
    model = integers(wrap(activated(), shape, 3), rows(64, shape))
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    ops = artifact.integer_ops
    assert (ops.integer, ops.floating, ops.expected, ops.left_float) == (4, 0, 4, ())
    rounded = {node.input[0] for node in onnx.load(artifact.path).graph.node if node.op_type == "QuantizeLinear"}
    assert not {"0", "2", "3/Sigmoid"} & rounded, "an activation follows"
    assert {"input", "1/HardSwish", "3/Mul", "5/Relu"} <= rounded
    used = {point.tensor for point in artifact.quant.points if point.role is not TensorRole.WEIGHT}
    assert used == {"input", "1/hardswish", "3/mul", "5/relu", "6/adaptive_avg_pool2d"}
    inputs = rows(100, shape, seed=3)
    answers = open_session(artifact).run(inputs)
    with torch.no_grad():
        expected = simulated(traced(model), artifact.quant.points, torch.from_numpy(inputs)).numpy()
    assert np.median(np.abs(answers - expected)) < 5e-3 * np.abs(expected).max()
    assert (answers.argmax(1) == expected.argmax(1)).mean() > 0.95


def test_what_is_kept_stays_float(wrap, integers, ends, rows, tmp_path) -> None:
    shape = (2, 8, 8)
    model = integers(wrap(activated(), shape, 3), rows(16, shape), QuantRule(keep=("2",)))
    ops = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model)).integer_ops
    assert (ops.integer, ops.expected, ops.left_float) == (3, 3, ("2",))


def test_bfloat16_is_computed_where_it_is_asked_for(wrap, ends, rows, tmp_path) -> None:
    shape = (2, 8, 8)
    model = wrap(activated(), shape, 3)
    whole = EXPORTER.export(model, tmp_path / "float.onnx", **ends(model))
    half = EXPORTER.export(
        to_half(model, HalfPrecision(format=HalfFormat.BFLOAT16).rule), tmp_path / "half.onnx", **ends(model)
    )
    assert (half.precision, half.sha256) == ("bfloat16", whole.sha256)
    inputs = rows(20, shape)
    exact, found = (open_session(one).run(inputs) for one in (whole, half))
    assert 0 < np.abs(exact - found).max() < 0.05 * np.abs(exact).max()


def test_dense_connections_are_compiled_and_computed_as_simulated(wrap, integers, ends, rows, tmp_path) -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.second, self.third = nn.Conv2d(2, 4, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(12, 4, 1)
            self.first, self.norm1, self.norm2 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(8), nn.BatchNorm2d(12)
            self.head = nn.Linear(16, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x).relu()
            x = torch.cat([x, self.first(x)], 1)
            x = torch.cat([x, self.second(self.norm1(x).relu())], 1)
            x = torch.cat([x, self.third(self.norm2(x).relu())], 1)
            answer: torch.Tensor = self.head(x.mean((2, 3)))
            return answer

    shape = (2, 8, 8)
    model = integers(wrap(Dense(), shape, 3), rows(64, shape))
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    assert artifact.integer_ops.left_float == ()
    used = {point.tensor for point in artifact.quant.points if point.role is not TensorRole.WEIGHT}
    assert "cat" not in used
    assert "cat:2" in used, "no batch norm takes it"
    inputs = rows(50, shape, seed=3)
    with torch.no_grad():
        expected = simulated(traced(model), artifact.quant.points, torch.from_numpy(inputs)).numpy()
    assert np.median(np.abs(open_session(artifact).run(inputs) - expected)) < 1e-5 * np.abs(expected).max()
