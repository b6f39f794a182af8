import torch
from torch import nn

from galenic.zoo.build import build
from galenic.zoo.macs import count_macs
from galenic.zoo.model import parameters


def test_the_default_counts_are_those_worked_out_by_hand():
    model = build("mlp", (30,), 2)
    assert count_macs(model) == 30 * 64 + 64 * 32 + 32 * 2 == 4032
    assert parameters(model) == 4032 + 64 + 32 + 2


def test_hidden_and_dropout_are_options():
    net = build("mlp", (30,), 2, options={"hidden": [8], "dropout": 0.25}).module
    assert [type(layer) for layer in net.features] == [nn.Linear, nn.ReLU, nn.Dropout]
    assert (net.classifier.in_features, net.classifier.out_features) == (8, 2)
    assert len(build("mlp", (30,), 2, options={"hidden": []}).module.features) == 0


def test_images_are_flattened_and_inputs_can_be_dropped():
    net = build("mlp", (1, 28, 28), 10, options={"hidden": [1200, 1200], "dropout": 0.5, "input_dropout": 0.2}).module
    assert [type(layer).__name__ for layer in net.features] == [
        "Flatten", "Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout",
    ]  # fmt: skip
    assert sum(p.numel() for p in net.parameters()) == 785 * 1200 + 1201 * 1200 + 1201 * 10
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
