import torch
from torch import nn

from galenic.record.model import ModelSpec
from galenic.zoo.build import build
from galenic.zoo.macs import count_macs, layer_macs, module_macs
from galenic.zoo.model import Model, weights_hash


def test_a_strided_and_grouped_convolution_and_a_dense_layer_by_hand():
    net = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), nn.Flatten(), nn.Linear(8 * 5 * 5, 3))
    # 5 * 5 positions, 8 filters of 2 * 3 * 3 each
    assert module_macs(net, (4, 10, 10)) == 25 * 8 * 18 + 200 * 3


def test_each_layer_by_hand():
    body = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), nn.ReLU())
    net = nn.Sequential(body, nn.Flatten(), nn.Linear(8 * 5 * 5, 3))
    model = Model(net, ModelSpec(architecture="net", input_shape=(4, 10, 10), outputs=3))
    assert layer_macs(model) == {"0.0": 25 * 8 * 18, "2": 200 * 3}


def test_layers_add_up_to_the_whole_and_a_layer_that_is_called_twice_counts_twice():
    model = build("resnet8", (3, 32, 32), 2)
    found = layer_macs(model)
    assert sum(found.values()) == count_macs(model)
    assert found["stem.0"] == 32 * 32 * 16 * 27
    assert "stem.1" not in found
    layer = nn.Linear(3, 3)
    twice = Model(nn.Sequential(layer, nn.ReLU(), layer), ModelSpec(architecture="net", input_shape=(3,), outputs=3))
    assert sum(layer_macs(twice).values()) == count_macs(twice) == 18


def test_the_resnet18_figure_of_the_paper():
    with torch.device("meta"):
        model = build("resnet18", (3, 224, 224), 1000)
    assert count_macs(model) == 1_814_073_344  # the paper's 1.8e9


def test_nothing_is_changed_by_counting():
    model = build("resnet8", (3, 32, 32), 2)
    model.module.train()
    model.module.stem[1].eval()
    modes = [part.training for part in model.module.modules()]
    before = weights_hash(model)
    count_macs(model)
    layer_macs(model)
    assert weights_hash(model) == before
    assert [part.training for part in model.module.modules()] == modes


def test_a_model_without_parameters_does_no_products():
    spec = ModelSpec(architecture="py:none:none", input_shape=(3,), outputs=3)
    assert count_macs(Model(nn.Identity(), spec)) == 0
