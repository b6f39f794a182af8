"""ResNet-18 to -152 (He et al., CVPR 2016, arXiv:1512.03385), from MONAI, with the usual stem.

    side > 40 px     7x7 convolution of stride 2, 3x3 max-pool of stride 2
    side <= 40 px    3x3 convolution of stride 1, no pool

MONAI's own defaults differ (a first stride of 1, biased shortcuts): four times the work. With what is set here,
parameters and multiply-accumulates equal timm's. The bottleneck's stride is in its 3x3 convolution, as there.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Architecture, keeps_resolution
from galenic.zoo.monai_nets import monai_net

WIDTHS = [64, 128, 256, 512]
DEPTHS = {
    "resnet18": ("basic", 1, [2, 2, 2, 2]),
    "resnet34": ("basic", 1, [3, 4, 6, 3]),
    "resnet50": ("bottleneck", 4, [3, 4, 6, 3]),
    "resnet101": ("bottleneck", 4, [3, 4, 23, 3]),
    "resnet152": ("bottleneck", 4, [3, 8, 36, 3]),
}


def resnet(name: str, input_shape: tuple[int, ...], outputs: int, *, dropout: float = 0.0) -> nn.Module:
    """(batch, channel, height, width) -> (batch, outputs)."""
    block, expansion, depths = DEPTHS[name]
    small = keeps_resolution(input_shape)
    features = monai_net("resnet", "ResNet")(
        block=block,
        layers=depths,
        block_inplanes=WIDTHS,
        spatial_dims=2,
        n_input_channels=input_shape[0],
        conv1_t_size=3 if small else 7,
        conv1_t_stride=1 if small else 2,
        no_max_pool=small,
        bias_downsample=False,
        feed_forward=False,
    )
    parts = OrderedDict[str, nn.Module](features=features)
    if dropout:
        parts["dropout"] = nn.Dropout(dropout)
    parts["classifier"] = nn.Linear(WIDTHS[-1] * expansion, outputs)
    return nn.Sequential(parts)


# MONAI, timm and torchvision name these layers alike: conv1, layer1.0.conv1, ..., fc
RENAMES = ((r"^fc\.", "classifier."), (r"^(conv1|bn1|layer\d)\.", r"features.\1."))

ARCHITECTURES = tuple(
    Architecture(name, Modality.IMAGE, partial(resnet, name), f"MONAI's {name}, usual stem; option dropout", RENAMES)
    for name in DEPTHS
)
