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
