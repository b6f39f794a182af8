"""DenseNet-121 and -201 (Huang et al., CVPR 2017, arXiv:1608.06993), from MONAI.

    side > 40 px     7x7 convolution of stride 2, 3x3 max-pool of stride 2
    side <= 40 px    3x3 convolution of stride 1, no pool

Parameters and multiply-accumulates equal timm's.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Architecture, keeps_resolution
from galenic.zoo.monai_nets import monai_net

DEPTHS = {"densenet121": (6, 12, 24, 16), "densenet201": (6, 12, 48, 32)}


def densenet(name: str, input_shape: tuple[int, ...], outputs: int, *, dropout: float = 0.0) -> nn.Module:
    """(batch, channel, height, width) -> (batch, outputs); ``dropout`` after each dense layer, as in the paper."""
    net = monai_net("densenet", "DenseNet")(
        spatial_dims=2,
        in_channels=input_shape[0],
        out_channels=outputs,
        block_config=DEPTHS[name],
        dropout_prob=dropout,
    )
    features = net.features
    if keeps_resolution(input_shape):
        features.conv0 = nn.Conv2d(input_shape[0], features.conv0.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(features.conv0.weight)  # as MONAI draws the others
        del features.pool0
    relu, pool, flatten, classifier = net.class_layers
    head = nn.Sequential(relu, pool, flatten)
    return nn.Sequential(OrderedDict(features=features, head=head, classifier=classifier))


# MONAI calls the head class_layers.out; timm and torchvision have no "layers" inside a dense layer
RENAMES = ((r"^class_layers\.out\.", "classifier."), (r"(denselayer\d+)\.(norm|conv)", r"\1.layers.\2"))

ARCHITECTURES = tuple(
    Architecture(name, Modality.IMAGE, partial(densenet, name), f"MONAI's {name}; option dropout", RENAMES)
    for name in DEPTHS
)
