"""A net that one can compute with: x -> relu(W0 x + b0) -> W2 (.) + b2."""

from __future__ import annotations

import torch
from torch import nn


def known_net() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 0.25]]))
        net[0].bias.copy_(torch.tensor([0.0, 0.5]))
        net[2].weight.copy_(torch.tensor([[1.0, 0.0], [0.25, -4.0], [-0.5, 2.0]]))
        net[2].bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    return net
