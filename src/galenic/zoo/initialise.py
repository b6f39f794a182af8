"""The weights that a convolutional net starts from (He et al., ICCV 2015, arXiv:1502.01852, fan-out).

weight ~ N(0, 2 / fan_out)        fan_out = kernel elements * output channels / groups
"""

from __future__ import annotations

import math

import torch
from torch import nn

Convolution = nn.Conv1d | nn.Conv2d


@torch.no_grad()
def he_fan_out(module: nn.Module) -> None:
    """Draw the weights of every convolution in ``module`` again, in place; biases become 0, other layers stay.

    The division by ``groups`` matters: without it a depthwise layer of 1000 channels starts 30 times too small, and
    Adam, whose steps do not shrink with the weights, throws such a layer about.
    """
    for layer in module.modules():
        if isinstance(layer, Convolution):
            fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
            layer.weight.normal_(0.0, math.sqrt(2.0 / fan_out))
            if layer.bias is not None:
                layer.bias.zero_()
