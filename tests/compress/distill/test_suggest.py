"""Pairs of layers that a person would name, on the nets of the zoo and on a small transformer."""

from __future__ import annotations

import torch
from torch import nn

from galenic.compress.distill.suggest import LayerPair, Layout, find_stages, suggest_pairs
from galenic.zoo.build import build


def suggested(student: str, teacher: str, shape: tuple[int, ...], **options: object) -> list[tuple[str, str]]:
    pairs = pairs_of(student, teacher, shape, **options)
    return [(pair.student, pair.teacher) for pair in pairs]


def pairs_of(student: str, teacher: str, shape: tuple[int, ...], **options: object) -> list[LayerPair]:
    ours, theirs = build(student, shape, 2, options=options), build(teacher, shape, 2)
    return suggest_pairs(ours.module, theirs.module, torch.zeros(2, *shape))


def test_resnet18_to_mobilenet_at_64_px():
    assert pairs_of("mobilenet_v3_small", "resnet18", (3, 64, 64)) == [
        LayerPair("features.1", "features.layer1", (16, 16, 16), (64, 16, 16), True),
        LayerPair("features.3", "features.layer2", (24, 8, 8), (128, 8, 8), True),
        LayerPair("features.8", "features.layer3", (48, 4, 4), (256, 4, 4), True),
        LayerPair("features.12", "features.layer4", (576, 2, 2), (512, 2, 2), True),
    ]


def test_densenet_to_mobilenet():
    assert suggested("mobilenet_v3_small", "densenet121", (3, 64, 64)) == [
        ("features.1", "features.denseblock1"),
        ("features.3", "features.denseblock2"),
        ("features.8", "features.denseblock3"),
        ("features.12", "features.norm5"),
    ]


def test_equal_shapes_need_no_transform():
    pairs = pairs_of("resnet8", "resnet20", (3, 32, 32))
    assert [(pair.student, pair.teacher) for pair in pairs] == [(f"stages.{k}", f"stages.{k}") for k in range(3)]
    assert not any(pair.adaptive for pair in pairs)
    assert str(pairs[1]) == "stages.1 (32, 16, 16) <- stages.1 (32, 16, 16)"


def test_a_deeper_teacher_is_paired_by_resolution():
    # DenseNet's fourth block, at 4 x 4, has no counterpart in a net of three stages
    assert suggested("resnet8", "densenet121", (3, 32, 32)) == [
        ("stages.0", "features.denseblock1"),
        ("stages.1", "features.denseblock2"),
        ("stages.2", "features.denseblock3"),
    ]


def test_without_common_resolutions_depth_decides():
    class Shrinking(nn.Module):
        def __init__(self, stages: int, side: int) -> None:
            super().__init__()
            self.resize = nn.Upsample((side, side))
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.stages = nn.Sequential(
                *(nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)) for _ in range(stages))
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.stages(self.stem(self.resize(x))).mean(dim=(2, 3))

    # sides 12, 6, 3 and 32, 16, 8, 4, 2: number i of 3 with number round(5 i / 3) of 5: 2, 3, 5
    pairs = suggest_pairs(Shrinking(3, 24), Shrinking(5, 64), torch.zeros(2, 1, 8, 8))
    assert [(pair.student, pair.teacher) for pair in pairs] == [
        ("stages.0", "stages.1"),
        ("stages.1", "stages.2"),
        ("stages.2", "stages.4"),
    ]


def test_signals_are_paired_by_length():
    pairs = pairs_of("ds_conv1d", "resnet1d", (1, 256))
    assert [(pair.student, pair.teacher) for pair in pairs] == [
        ("features.2", "features.4"),
        ("features.4", "features.6"),
        ("features.6", "features.8"),
    ]
    assert pairs[0].student_shape == (32, 64)
    assert pairs[0].teacher_shape == (64, 64)


def test_perceptrons_are_paired_by_hidden_layer_behind_its_activation():
    assert suggested("mlp", "mlp", (30,)) == [("features.1", "features.1"), ("features.3", "features.3")]
    # with dropout: Linear, ReLU, Dropout; one hidden layer meets the last of two
    assert suggested("mlp", "mlp", (30,), hidden=[16], dropout=0.5) == [("features.1", "features.3")]


class Tokens(nn.Module):
    """Patches, a row of residual blocks in a list, a mean and a classifier."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 4, 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU()) for _ in range(depth)
        )
        self.classifier = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = x + block(x)
        return self.classifier(x.mean(dim=1))


def test_blocks_of_tokens_are_paired_by_relative_depth():
    pairs = suggest_pairs(Tokens(2, 8), Tokens(6, 16), torch.zeros(2, 1, 8, 8))
    assert pairs == [
        LayerPair("blocks.0", "blocks.2", (4, 8), (4, 16), True),
        LayerPair("blocks.1", "blocks.5", (4, 8), (4, 16), True),
    ]


def test_nets_of_different_kinds_have_no_pairs():
    conv = build("resnet8", (1, 8, 8), 2).module
    assert suggest_pairs(conv, Tokens(2, 8), torch.zeros(2, 1, 8, 8)) == []


def test_the_nets_keep_their_mode_and_a_net_without_stages_has_none():
    net = Tokens(2, 8).train()
    assert find_stages(net, torch.zeros(2, 1, 8, 8))[0] is Layout.TOKENS
    assert net.training
    assert find_stages(nn.Linear(3, 2), torch.zeros(2, 3)) == (None, [])
