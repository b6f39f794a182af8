"""MobileNetV3-small and -large (Howard et al., ICCV 2019, arXiv:1905.02244, tables 1 and 2).

    block(x) = x + project(gate(depthwise(expand(x))))      + x only where stride is 1 and the channels stay
    gate(x)  = x * hard_sigmoid(W2 relu(W1 mean(x)))         squeeze and excitation, a quarter of the channels

Parameters, multiply-accumulates and outputs equal timm's ``mobilenetv3_small_100`` and ``_large_100``, and with
``width`` those of its narrower ones. Up to 40 px the stem's stride is 1.
Shapes: (batch, channel, height, width) -> (batch, outputs).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Architecture, keeps_resolution
from galenic.zoo.initialise import he_fan_out


class Row(NamedTuple):
    """One line of the paper's table; ``expansion`` as a factor of the input's channels."""

    kernel: int
    expansion: float
    channels: int
    gated: bool
    activation: type[nn.Module]
    stride: int


RE, HS = nn.ReLU, nn.Hardswish
STEM_CHANNELS = 16
SMALL = (
    Row(3, 1, 16, True, RE, 2),
    Row(3, 4.5, 24, False, RE, 2),
    Row(3, 3.67, 24, False, RE, 1),
    Row(5, 4, 40, True, HS, 2),
    Row(5, 6, 40, True, HS, 1),
    Row(5, 6, 40, True, HS, 1),
    Row(5, 3, 48, True, HS, 1),
    Row(5, 3, 48, True, HS, 1),
    Row(5, 6, 96, True, HS, 2),
    Row(5, 6, 96, True, HS, 1),
    Row(5, 6, 96, True, HS, 1),
)
LARGE = (
    Row(3, 1, 16, False, RE, 1),
    Row(3, 4, 24, False, RE, 2),
    Row(3, 3, 24, False, RE, 1),
    Row(5, 3, 40, True, RE, 2),
    Row(5, 3, 40, True, RE, 1),
    Row(5, 3, 40, True, RE, 1),
    Row(3, 6, 80, False, HS, 2),
    Row(3, 2.5, 80, False, HS, 1),
    Row(3, 2.3, 80, False, HS, 1),
    Row(3, 2.3, 80, False, HS, 1),
    Row(3, 6, 112, True, HS, 1),
    Row(3, 6, 112, True, HS, 1),
    Row(5, 6, 160, True, HS, 2),
    Row(5, 6, 160, True, HS, 1),
    Row(5, 6, 160, True, HS, 1),
)


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor`` that loses no more than a tenth of the channels."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class Gate(nn.Module):
    """Squeeze and excitation: each channel times a number in [0, 1] that depends on all channel means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(channels / 4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.sigmoid = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, height, width), the same out."""
        weight: Tensor = self.sigmoid(self.expand(self.relu(self.reduce(self.pool(x)))))
        return x * weight


class Bottleneck(nn.Module):
    """An inverted residual: wide inside, narrow outside."""

    def __init__(self, in_channels: int, out_channels: int, row: Row) -> None:
        super().__init__()
        wide = round_channels(in_channels * row.expansion)
        parts = OrderedDict[str, nn.Module]()
        if row.expansion != 1:
            parts["expand"] = conv_norm(in_channels, wide, 1, activation=row.activation)
        parts["depthwise"] = conv_norm(wide, wide, row.kernel, row.stride, groups=wide, activation=row.activation)
        if row.gated:
            parts["gate"] = Gate(wide)
        parts["project"] = conv_norm(wide, out_channels, 1)
        self.body = nn.Sequential(parts)
        self.residual = row.stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, height / stride, width / stride)."""
        out: Tensor = self.body(x)
        return x + out if self.residual else out


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """A convolution without bias, a batch norm and, where given, an activation."""
    padding = kernel // 2
    parts = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False),
        norm=nn.BatchNorm2d(out_channels),
    )
    if activation is not None:
        parts["activation"] = activation()
    return nn.Sequential(parts)


def mobilenet_v3(
    table: tuple[Row, ...],
    head: int,
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    width: float = 1.0,
    dropout: float = 0.0,
) -> nn.Module:
    """``width`` multiplies every channel count (to multiples of 8) but the head's, and the stem's only from 0.75 on."""
    if not width > 0:
        raise ModelError(f"width {width}", "a factor above 0", "give for instance width = 0.5")
    channels = round_channels(STEM_CHANNELS * width) if width >= 0.75 else STEM_CHANNELS
    stem_stride = 1 if keeps_resolution(input_shape) else 2
    features: list[nn.Module] = [conv_norm(input_shape[0], channels, 3, stem_stride, activation=HS)]
    for row in table:
        next_channels = round_channels(row.channels * width)
        features.append(Bottleneck(channels, next_channels, row))
        channels = next_channels
    last = round_channels(6 * table[-1].channels * width)
    features.append(conv_norm(channels, last, 1, activation=HS))
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            features=nn.Sequential(*features),
            pool=nn.AdaptiveAvgPool2d(1),
            head=nn.Sequential(nn.Conv2d(last, head, 1), HS(), nn.Flatten(), nn.Dropout(dropout)),
            classifier=nn.Linear(head, outputs),
        )
    )
    he_fan_out(net)
    return net


ARCHITECTURES = (
    Architecture(
        "mobilenet_v3_small",
        Modality.IMAGE,
        partial(mobilenet_v3, SMALL, 1024),
        "MobileNetV3-small, the usual student; options width, dropout",
    ),
    Architecture(
        "mobilenet_v3_large",
        Modality.IMAGE,
        partial(mobilenet_v3, LARGE, 1280),
        "MobileNetV3-large; options width, dropout",
    ),
)
