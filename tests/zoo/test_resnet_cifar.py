import pytest
import torch

from galenic.record.errors import ModelError
from galenic.zoo.build import build
from galenic.zoo.macs import count_macs
from galenic.zoo.model import parameters
from galenic.zoo.resnet_cifar import BasicBlock


def test_resnet8_has_the_parameters_and_macs_worked_out_by_hand():
    # stem 432 + 32; stage 1: 2 * 2304 + 64; stage 2: 4608 + 9216 + 512 + 192;
    # stage 3: 18432 + 36864 + 2048 + 384; head 650
    model = build("resnet8", (3, 32, 32), 10)
    assert parameters(model) == 464 + 4672 + 14528 + 57728 + 650 == 78_042
    # 32 * 32, 16 * 16 and 8 * 8 positions; MLPerf Tiny's own figure is 12.5 M
    stages = 1024 * (432 + 4608) + 256 * (4608 + 9216 + 512) + 64 * (18432 + 36864 + 2048)
    assert count_macs(model) == stages + 640 == 12_501_632


def test_resnet20_has_the_parameters_of_the_paper_plus_convolutional_shortcuts():
    # 269 722 with parameter-free shortcuts; 16 * 32 + 32 * 64 weights and their two batch norms more
    assert parameters(build("resnet20", (3, 32, 32), 10)) == 269_722 + 2560 + 192


def test_width_scales_channels():
    assert build("resnet8", (3, 32, 32), 10, options={"width": 0.5}).module.classifier.in_features == 32
    with pytest.raises(ModelError, match="width"):
        build("resnet8", (3, 32, 32), 10, options={"width": 0.01})


def test_a_block_with_zero_weights_is_its_rectified_shortcut():
    block = BasicBlock(4, 4, 1).eval()
    with torch.no_grad():
        block.conv2.weight.zero_()
        x = torch.randn(1, 4, 5, 5)
        torch.testing.assert_close(block(x), x.clamp(min=0))
