import pytest
from torch import nn

from galenic.zoo.build import build


@pytest.mark.parametrize(
    ("name", "shape"), [("densenet121", (3, 224, 224)), ("densenet121", (1, 28, 28)), ("densenet201", (3, 224, 224))]
)
def test_parameters_and_macs_are_timms(name, shape, check_counts):
    check_counts(name, name, shape, 9)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 28, 28)], ids=str)
def test_outputs_are_timms(shape, check_outputs):
    check_outputs("densenet121", "densenet121", shape, 5)


def test_the_head_is_named_classifier():
    net = build("densenet121", (1, 28, 28), 3).module
    assert isinstance(net.classifier, nn.Linear)
    assert net.classifier.out_features == 3
    assert list(dict(net.named_children())) == ["features", "head", "classifier"]
