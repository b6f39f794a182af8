import pytest
from torch import nn

from galenic.zoo.build import build


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *((name, (3, 224, 224)) for name in ("resnet18", "resnet34", "resnet50", "resnet152")),
        *((name, (1, 28, 28)) for name in ("resnet18", "resnet50", "resnet101")),
    ],
)
def test_parameters_and_macs_are_timms(name, shape, check_counts):
    check_counts(name, name, shape, 9)


@pytest.mark.parametrize(("name", "shape"), [("resnet18", (3, 64, 64)), ("resnet50", (1, 32, 32))])
def test_outputs_are_timms(name, shape, check_outputs):
    check_outputs(name, name, shape, 5)


@pytest.mark.parametrize(("side", "kernel", "stride", "pooled"), [(40, 3, 1, False), (41, 7, 2, True)])
def test_the_stem_shrinks_only_images_above_40_px(side, kernel, stride, pooled):
    features = build("resnet18", (1, side, side), 2).module.features
    assert features.conv1.kernel_size == (kernel, kernel)
    assert features.conv1.stride == (stride, stride)
    assert features.no_max_pool is not pooled


def test_the_head_is_named_classifier_and_dropout_is_opt_in():
    plain = build("resnet18", (3, 32, 32), 7).module
    assert isinstance(plain.classifier, nn.Linear)
    assert (plain.classifier.in_features, plain.classifier.out_features) == (512, 7)
    assert not any(isinstance(layer, nn.Dropout) for layer in plain.modules())
    assert build("resnet18", (3, 32, 32), 7, options={"dropout": 0.3}).module.dropout.p == 0.3
