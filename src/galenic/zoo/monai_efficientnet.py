"""EfficientNet-B0 to -B7 (Tan and Le, ICML 2019, arXiv:1905.11946), from MONAI.

What is set otherwise than in MONAI, so that parameters, multiply-accumulates and outputs equal timm's
``efficientnet_bN`` and the net takes any image size:
- padding is kernel // 2 on each side, inside the convolution. MONAI pads as TensorFlow does, by layers of their own
  whose width is fixed for the paper's image size and is wrong for any other. Output sizes stay ceil(n / stride).
- SiLU is torch's; MONAI's memory-saving one is an autograd function of its own that no exporter knows.
- batch norm has torch's eps and momentum: 0.01 is too slow for the few steps of a small medical data set.
- up to 40 px the stem's stride is 1.
- the classifier starts as torch's Linear does: MONAI's range, 1 / sqrt(outputs), is meant for 1000 classes; with
  three, the first loss is two to four times that of chance.
- no dropout and no drop-connect unless asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Architecture, keeps_resolution
from galenic.zoo.initialise import he_fan_out
from galenic.zoo.monai_nets import monai_net

# r: repeats, k: kernel, s: stride, e: expansion, i: input channels, o: output channels, se: squeeze ratio
BLOCKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)
SCALES = {  # width, depth
    "efficientnet_b0": (1.0, 1.0),
    "efficientnet_b1": (1.0, 1.1),
    "efficientnet_b2": (1.1, 1.2),
    "efficientnet_b3": (1.2, 1.4),
    "efficientnet_b4": (1.4, 1.8),
    "efficientnet_b5": (1.6, 2.2),
    "efficientnet_b6": (1.8, 2.6),
    "efficientnet_b7": (2.0, 3.1),
}


def efficientnet(
    name: str, input_shape: tuple[int, ...], outputs: int, *, dropout: float = 0.0, drop_connect: float = 0.0
) -> nn.Module:
    """(batch, channel, height, width) -> (batch, outputs)."""
    width, depth = SCALES[name]
    net = monai_net("efficientnet", "EfficientNet")(
        blocks_args_str=list(BLOCKS),
        spatial_dims=2,
        in_channels=input_shape[0],
        num_classes=outputs,
        width_coefficient=width,
        depth_coefficient=depth,
        dropout_rate=dropout,
        norm="batch",
        drop_connect_rate=drop_connect,
    )
    if keeps_resolution(input_shape):
        net._conv_stem.stride = (1, 1)
    _pad_inside(net)
    _use_silu(net)
    he_fan_out(net)
    classifier = nn.Linear(net._fc.in_features, outputs)
    net._fc = nn.Identity()
    return nn.Sequential(OrderedDict(features=net, classifier=classifier))


def _pad_inside(net: nn.Module) -> None:
    """Give every convolution its own symmetric padding, and make MONAI's padding layers do nothing."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.padding = tuple(size // 2 for size in layer.kernel_size)
        for name, _ in list(layer.named_children()):
            if name.endswith("_padding"):
                setattr(layer, name, nn.Identity())


def _use_silu(net: nn.Module) -> None:
    for layer in net.modules():
        if hasattr(layer, "_swish"):
            layer._swish = nn.SiLU()


RENAMES = ((r"^_fc\.", "classifier."), (r"^_(conv|bn|blocks)", r"features._\1"))

ARCHITECTURES = tuple(
    Architecture(
        name,
        Modality.IMAGE,
        partial(efficientnet, name),
        f"MONAI's EfficientNet-{name[-2:].upper()}; options dropout, drop_connect",
        RENAMES,
    )
    for name in SCALES
)
