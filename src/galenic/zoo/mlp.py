"""A multilayer perceptron: [Linear, ReLU, Dropout] per hidden layer, then the classifier.

Shapes: (batch, feature) -> (batch, outputs); images and signals are flattened first. ``input_dropout`` drops inputs.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from galenic.zoo.architecture import Architecture


def mlp(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    hidden: Sequence[int] = (64, 32),
    dropout: float = 0.0,
    input_dropout: float = 0.0,
) -> nn.Module:
    """``hidden`` gives the width of each hidden layer."""
    layers: list[nn.Module] = [nn.Flatten()] if len(input_shape) > 1 else []
    if input_dropout:
        layers.append(nn.Dropout(input_dropout))
    width = math.prod(input_shape)
    for next_width in hidden:
        layers += [nn.Linear(width, next_width), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = next_width
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers), classifier=nn.Linear(width, outputs)))


ARCHITECTURES = (
    Architecture("mlp", None, mlp, "multilayer perceptron; options hidden=(64, 32), dropout, input_dropout"),
)
