import pytest
import torch

from galenic.record.errors import ModelError
from galenic.zoo.build import build
from galenic.zoo.mobilenet import Gate, round_channels
from galenic.zoo.model import parameters

TWINS = [
    ("mobilenet_v3_small", "mobilenetv3_small_100", 1.0),
    ("mobilenet_v3_small", "mobilenetv3_small_075", 0.75),
    ("mobilenet_v3_small", "mobilenetv3_small_050", 0.5),
    ("mobilenet_v3_large", "mobilenetv3_large_100", 1.0),
    ("mobilenet_v3_large", "mobilenetv3_large_075", 0.75),
]


@pytest.mark.parametrize(("name", "twin", "width"), TWINS)
@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 28, 28)], ids=str)
def test_parameters_and_macs_are_timms(name, twin, width, shape, check_counts):
    check_counts(name, twin, shape, 9, width=width)


@pytest.mark.parametrize(("name", "twin", "width"), TWINS)
def test_outputs_are_timms(name, twin, width, check_outputs):
    check_outputs(name, twin, (3, 64, 64), 5, width=width)
    check_outputs(name, twin, (1, 28, 28), 5, width=width)


def test_the_small_one_has_1_527_million_parameters_with_nine_classes():
    assert parameters(build("mobilenet_v3_small", (3, 64, 64), 9)) == 1_527_081


def test_channels_round_to_eight_and_never_lose_more_than_a_tenth():
    # 18 -> 16 would lose 11 %; 17.7 -> 16 loses 9.6 %; 12 rounds up; nothing falls below 8
    assert [round_channels(count) for count in (8, 12, 17.7, 18, 24, 3)] == [8, 16, 16, 24, 24, 8]


def test_a_gate_with_a_large_bias_is_open_and_with_a_small_one_shut():
    gate = Gate(8)
    x = torch.randn(2, 8, 3, 3)
    with torch.no_grad():
        gate.expand.weight.zero_()
        gate.expand.bias[:] = torch.tensor([3.0, -3.0, 0.0, 1.5] * 2)  # hard_sigmoid: 1, 0, 0.5, 0.75
        out = gate(x)
    factor = torch.tensor([1.0, 0.0, 0.5, 0.75] * 2).view(1, 8, 1, 1)
    torch.testing.assert_close(out, x * factor)


@pytest.mark.parametrize("width", [0, -1])
def test_a_width_of_nothing_is_refused(width):
    with pytest.raises(ModelError, match="above 0"):
        build("mobilenet_v3_small", (3, 32, 32), 2, options={"width": width})
