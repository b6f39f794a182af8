"""Small residual nets: ResNet-8 (MLPerf Tiny, arXiv:2106.07597) and ResNet-20 (He et al., CVPR 2016, section 4.2).

    stem -> 3 stages of n basic blocks with 16, 32 and 64 channels -> mean -> classifier        n = 1 or 3

Up to 40 px the stem is a 3x3 convolution of stride 1; above, its stride is 2 and a max-pool of stride 2 follows. A
shortcut that changes shape is a 1x1 convolution with batch norm. (batch, channel, height, width) -> (batch, outputs).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Architecture, keeps_resolution
from galenic.zoo.initialise import he_fan_out

CHANNELS = (16, 32, 64)


class BasicBlock(nn.Module):
    """relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, height / stride, width / stride)."""
        out = self.relu1(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out)) + self.shortcut(x)
        activated: Tensor = self.relu2(out)
        return activated


def resnet_cifar(
    blocks: int, input_shape: tuple[int, ...], outputs: int, *, width: float = 1.0, dropout: float = 0.0
) -> nn.Module:
    """``blocks`` per stage; ``width`` multiplies every channel count."""
    channels = [int(count * width + 0.5) for count in CHANNELS]
    if channels[0] < 1:
        raise ModelError(f"width {width}", "a factor that leaves at least one channel of 16", "give width = 1")
    small = keeps_resolution(input_shape)
    stem: list[nn.Module] = [
        nn.Conv2d(input_shape[0], channels[0], 3, 1 if small else 2, 1, bias=False),
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(),
    ]
    if not small:
        stem.append(nn.MaxPool2d(3, 2, 1))
    stages: list[nn.Module] = []
    before = channels[0]
    for index, count in enumerate(channels):
        stride = 1 if index == 0 else 2
        stages.append(nn.Sequential(BasicBlock(before, count, stride), *_same(count, blocks - 1)))
        before = count
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            stem=nn.Sequential(*stem),
            stages=nn.Sequential(*stages),
            head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)),
            classifier=nn.Linear(before, outputs),
        )
    )
    he_fan_out(net)
    return net


def _same(channels: int, count: int) -> list[nn.Module]:
    return [BasicBlock(channels, channels, 1) for _ in range(count)]


ARCHITECTURES = (
    Architecture(
        "resnet8",
        Modality.IMAGE,
        partial(resnet_cifar, 1),
        "MLPerf Tiny's residual net for small images; options width, dropout",
    ),
    Architecture(
        "resnet20",
        Modality.IMAGE,
        partial(resnet_cifar, 3),
        "CIFAR's residual net for small images; options width, dropout",
    ),
)
