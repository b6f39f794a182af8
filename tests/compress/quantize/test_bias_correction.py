"""After correction each layer's mean output on float inputs is that of the float layer."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from galenic.compress.quantize.bias_correction import correct_biases
from galenic.zoo.graph import bound, traced, values


def test_means_per_channel_are_restored(as_model, batches) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2), nn.Linear(2, 2, bias=False))
    model = as_model(net, (1, 6, 6), 2)
    graph = traced(model)
    other = replace(model, module=deepcopy(net))
    with torch.no_grad():
        other.module[0].weight.add_(0.1)
        other.module[3].weight.sub_(0.05)
        other.module[4].weight.add_(0.1)
    rows = batches(70, (1, 6, 6))
    assert correct_biases(graph, bound(graph, other), rows) == ("4",), "it has no bias to correct"
    inputs = torch.cat(list(rows()))
    float_values = values(graph, inputs)
    with torch.no_grad():
        conv = F.conv2d(inputs, other.module[0].weight, other.module[0].bias)
        dense = F.linear(float_values["2/flatten"], other.module[3].weight, other.module[3].bias)
    torch.testing.assert_close(conv.mean((0, 2, 3)), float_values["0"].mean((0, 2, 3)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dense.mean(0), float_values["3"].mean(0), atol=1e-5, rtol=1e-5)
