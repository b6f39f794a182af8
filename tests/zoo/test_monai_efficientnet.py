import math

import pytest
import torch
from torch import nn

from galenic.zoo.build import build


@pytest.mark.parametrize("size", [0, 1, *(pytest.param(size, marks=pytest.mark.slow) for size in range(2, 8))])
def test_parameters_and_macs_are_timms(size, check_counts):
    shape = (3, 224, 224) if size % 2 else (1, 28, 28)
    check_counts(f"efficientnet_b{size}", f"efficientnet_b{size}", shape, 9)


@pytest.mark.parametrize("shape", [(3, 64, 48), (1, 28, 28), (3, 65, 47)], ids=str)
def test_outputs_are_timms(shape, check_outputs):
    check_outputs("efficientnet_b0", "efficientnet_b0", shape, 5)


def test_no_layer_is_left_that_pads_for_one_image_size_or_that_exporters_do_not_know():
    kinds = {type(layer).__name__ for layer in build("efficientnet_b0", (3, 64, 64), 2).module.modules()}
    assert kinds.isdisjoint({"ConstantPad2d", "MemoryEfficientSwish", "Swish"})
    assert "SiLU" in kinds


def test_depthwise_layers_start_with_the_deviation_of_their_own_fan_out():
    net = build("efficientnet_b0", (3, 64, 64), 2).module
    widest = max((m for m in net.modules() if isinstance(m, nn.Conv2d) and m.groups > 1), key=lambda m: m.groups)
    assert widest.groups == 1152
    expected = math.sqrt(2 / math.prod(widest.kernel_size))
    assert float(widest.weight.detach().std()) == pytest.approx(expected, rel=0.05)


def test_the_classifier_starts_small_whatever_the_number_of_classes():
    weight = build("efficientnet_b0", (3, 64, 64), 2).module.classifier.weight
    assert weight.shape == (2, 1280)
    assert float(weight.detach().abs().max()) <= 1 / math.sqrt(1280)


def test_drop_connect_and_dropout_act_in_training_only():
    net = build("efficientnet_b0", (3, 32, 32), 2, options={"dropout": 0.5, "drop_connect": 0.5}).module
    images = torch.ones(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(images), net(images))
        net.train()
        assert not torch.equal(net(images), net(images))
