import numpy as np
import pytest
import torch
from torch import nn

from galenic.exporters import calibrate
from galenic.exporters.calibrate import find_ranges
from galenic.exporters.observers import percentile_range
from galenic.exporters.onnx_graph import to_graph
from galenic.record.quant import Observer


@pytest.fixture
def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Hardswish(), nn.Flatten(), nn.Linear(4 * 36, 2))


def test_ranges_are_those_that_torch_sees(net, wrap, rows, monkeypatch):
    model, inputs = wrap(net, (1, 8, 8), 2), rows(50, (1, 8, 8))
    monkeypatch.setattr(calibrate, "MOST_VALUES", 5000)  # a few rows at a time
    found = find_ranges(to_graph(model), inputs, Observer.MIN_MAX)
    with torch.no_grad():
        tensors = {"input": torch.from_numpy(inputs)}
        tensors["0"] = net[0](tensors["input"])
        tensors["1/HardSwish"] = net[1](tensors["0"])
        tensors["logits"] = net(tensors["input"])
    for name, values in tensors.items():
        assert found[name] == pytest.approx((float(values.min()), float(values.max())), abs=1e-5)


def test_percentiles_are_taken_over_all_rows_together(net, wrap, rows, monkeypatch):
    model, inputs = wrap(net, (1, 8, 8), 2), rows(50, (1, 8, 8))
    counts, edges = np.histogram(inputs, bins=2048)
    expected = percentile_range(counts, float(edges[0]), float(edges[-1]))
    found = []
    for values in (5000, 2**25):
        monkeypatch.setattr(calibrate, "MOST_VALUES", values)
        found.append(find_ranges(to_graph(model), inputs, Observer.PERCENTILE))
    assert found[0]["input"] == pytest.approx(expected, abs=1e-9)
    for name, (low, high) in found[0].items():
        assert found[1][name] == pytest.approx((low, high), abs=0.02)
