"""1-D nets for signals: a small student of depthwise-separable convolutions, and a residual teacher.

    ds_conv1d    stem, then ``depth`` times [depthwise of stride 2, pointwise], channels width, 2 width, 3 width ...
                 (the grain of MobileNets, arXiv:1704.04861); about 7 KB as INT8 with the defaults
    resnet1d     stem, then 4 stages of ``depth`` basic blocks, channels width, 2 width, 4 width, 8 width
                 (after Wang et al., IJCNN 2017, arXiv:1611.06455, with strides); about 2.1 million parameters

Shapes: (batch, channel, time) -> (batch, outputs). Any number of samples works; each stride halves it, rounding up.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality
from galenic.zoo.architecture import Architecture
from galenic.zoo.initialise import he_fan_out


def ds_conv1d(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    width: int = 16,
    depth: int = 3,
    kernel: int = 9,
    dropout: float = 0.0,
) -> nn.Module:
    """``width`` channels after the stem, ``depth`` separable blocks, all kernels ``kernel`` samples wide (odd)."""
    _check(width, depth, kernel)
    layers: list[nn.Module] = [conv_norm(input_shape[0], width, kernel, 2)]
    for index in range(depth):
        here, there = width * (index + 1), width * (index + 2)
        layers += [conv_norm(here, here, kernel, 2, groups=here), conv_norm(here, there, 1, 1)]
    return _with_head(nn.Sequential(*layers), width * (depth + 1), outputs, dropout)


class BasicBlock(nn.Module):
    """relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm(in_channels, out_channels, kernel, stride),
            nn.Conv1d(out_channels, out_channels, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv1d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm1d(out_channels)
            )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, time) -> (batch, out_channels, time / stride)."""
        activated: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return activated


def resnet1d(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    width: int = 32,
    depth: int = 2,
    kernel: int = 7,
    dropout: float = 0.0,
) -> nn.Module:
    """``width`` channels in the first stage, ``depth`` blocks in each, kernels ``kernel`` samples wide (odd)."""
    _check(width, depth, kernel)
    layers: list[nn.Module] = [conv_norm(input_shape[0], width, 2 * kernel + 1, 2)]
    before = width
    for stage in range(4):
        channels = width * 2**stage
        for index in range(depth):
            stride = 2 if index == 0 and stage > 0 else 1
            layers.append(BasicBlock(before, channels, kernel, stride))
            before = channels
    return _with_head(nn.Sequential(*layers), before, outputs, dropout)


def conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int, *, groups: int = 1) -> nn.Sequential:
    """A convolution without bias, a batch norm and a ReLU."""
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv1d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm1d(out_channels),
        nn.ReLU(),
    )


def _with_head(features: nn.Module, channels: int, outputs: int, dropout: float) -> nn.Module:
    net = nn.Sequential(
        OrderedDict[str, nn.Module](
            features=features,
            head=nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(dropout)),
            classifier=nn.Linear(channels, outputs),
        )
    )
    he_fan_out(net)
    return net


def _check(width: int, depth: int, kernel: int) -> None:
    if width < 1 or depth < 1 or kernel < 1 or kernel % 2 == 0:
        raise ModelError(
            f"width {width}, depth {depth}, kernel {kernel}",
            "a width and a depth of at least 1 and an odd kernel",
            "correct that option",
        )


ARCHITECTURES = (
    Architecture(
        "ds_conv1d",
        Modality.SIGNAL,
        ds_conv1d,
        "depthwise-separable 1-D net of a few KB; options width, depth, kernel, dropout",
    ),
    Architecture(
        "resnet1d", Modality.SIGNAL, resnet1d, "residual 1-D net, a teacher; options width, depth, kernel, dropout"
    ),
)
