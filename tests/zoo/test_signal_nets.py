import pytest
import torch

from galenic.record.errors import ModelError
from galenic.zoo.build import build
from galenic.zoo.macs import count_macs
from galenic.zoo.model import parameters


def test_ds_conv1d_has_the_parameters_and_macs_worked_out_by_hand():
    model = build("ds_conv1d", (6, 200), 2)
    stem = 16 * 6 * 9
    depthwise, pointwise = [9 * 16, 9 * 32, 9 * 48], [16 * 32, 32 * 48, 48 * 64]
    norms = 2 * (16 + (16 + 32) + (32 + 48) + (48 + 64))
    assert parameters(model) == stem + sum(depthwise) + sum(pointwise) + norms + 64 * 2 + 2 == 7490
    # strides take 200 samples to 100 after the stem, then to 50, 25 and 13
    blocks = (
        50 * (depthwise[0] + pointwise[0]) + 25 * (depthwise[1] + pointwise[1]) + 13 * (depthwise[2] + pointwise[2])
    )
    assert count_macs(model) == 100 * stem + blocks + 64 * 2


def test_width_and_depth_are_options():
    narrow = build("ds_conv1d", (1, 187), 5, options={"width": 8, "depth": 2}).module
    assert narrow.classifier.in_features == 24
    assert len(narrow.features) == 1 + 2 * 2


@pytest.mark.parametrize("time", [1, 50, 187, 1000])
@pytest.mark.parametrize("name", ["ds_conv1d", "resnet1d"])
def test_any_number_of_samples_works(name, time):
    model = build(name, (2, time), 3)
    with torch.no_grad():
        assert model.module(torch.randn(2, 2, time)).shape == (2, 3)


def test_the_teacher_is_the_larger_one():
    student, teacher = build("ds_conv1d", (3, 200), 2), build("resnet1d", (3, 200), 2)
    assert 1e6 < parameters(teacher) < 4e6
    assert parameters(teacher) > 200 * parameters(student)


@pytest.mark.parametrize("options", [{"width": 0}, {"depth": 0}, {"kernel": 4}])
def test_impossible_options_are_refused(options):
    for name in ("ds_conv1d", "resnet1d"):
        with pytest.raises(ModelError, match="odd kernel"):
            build(name, (1, 100), 2, options=options)
