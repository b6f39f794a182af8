"""A multilayer perceptron for tables: [Linear, ReLU, Dropout] per hidden layer, then the classifier.

Shapes: (batch, feature) -> (batch, outputs).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Architecture


def mlp(
    input_shape: tuple[int, ...], outputs: int, *, hidden: Sequence[int] = (64, 32), dropout: float = 0.0
) -> nn.Module:
    """``hidden`` gives the width of each hidden layer."""
    layers: list[nn.Module] = []
    width = input_shape[0]
    for next_width in hidden:
        layers += [nn.Linear(width, next_width), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = next_width
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers), classifier=nn.Linear(width, outputs)))


ARCHITECTURES = (Architecture("mlp", Modality.TABLE, mlp, "multilayer perceptron; options hidden=(64, 32), dropout"),)
