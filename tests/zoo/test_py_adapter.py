import sys

import pytest
import torch

from galenic.record.errors import ModelError
from galenic.zoo.build import build
from galenic.zoo.macs import count_macs
from galenic.zoo.model import weights_hash
from galenic.zoo.saving import load_model, save_model

SOURCE = """
import torch
from torch import nn

def small(input_shape, outputs, hidden=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0] * input_shape[1], hidden), nn.Linear(hidden, outputs))

def too_many(input_shape, outputs):
    return small(input_shape, outputs + 1)

def pair(input_shape, outputs):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x
    return Pair()

def stops(input_shape, outputs):
    return nn.Linear(3, outputs)

def breaks(input_shape, outputs):
    return {}["absent"]

def not_a_net(input_shape, outputs):
    return 3

def old_signature(classes):
    return nn.Linear(3, classes)

constant = 3
"""


@pytest.fixture(autouse=True)
def nets(tmp_path, monkeypatch):
    (tmp_path / "my_nets_for_test.py").write_text(SOURCE)
    (tmp_path / "my_broken_for_test.py").write_text("import no_such_package_for_test")
    (tmp_path / "my_typo_for_test.py").write_text("def net(:")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_nets_for_test", None)


def test_a_callable_of_the_users_own_is_a_model_like_any_other(tmp_path):
    model = build("py:my_nets_for_test:small", (2, 5), 3, seed=1, options={"hidden": 6})
    with torch.no_grad():
        assert model.module(torch.zeros(2, 2, 5)).shape == (2, 3)
    assert count_macs(model) == 10 * 6 + 6 * 3
    again = build("py:my_nets_for_test:small", (2, 5), 3, seed=1, options={"hidden": 6})
    assert weights_hash(again) == weights_hash(model)
    assert weights_hash(load_model(save_model(model, tmp_path / "saved"))) == weights_hash(model)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("my_nets_for_test:too_many", {}, "returns shape (2, 4)"),
        ("my_nets_for_test:pair", {}, "returns a tuple"),
        ("my_nets_for_test:stops", {}, "stops with RuntimeError"),
        ("my_nets_for_test:breaks", {}, "stops with KeyError: 'absent'"),
        ("my_nets_for_test:not_a_net", {}, "returns a int"),
        ("my_nets_for_test:old_signature", {}, "keywords input_shape, outputs"),
        ("my_nets_for_test:small", {"depth": 2}, "keywords input_shape, outputs, depth"),
        ("my_nets_for_test:constant", {}, "has no callable constant"),
        ("my_nets_for_test:absent", {}, "has no callable absent"),
        ("my_nets_for_test", {}, "py:module:callable"),
        ("no_such_module_for_test:net", {}, "PYTHONPATH"),
        ("my_typo_for_test:net", {}, "SyntaxError"),
        ("my_broken_for_test:net", {}, "no_such_package_for_test"),
    ],
)
def test_what_does_not_fit_is_refused(name, options, told):
    with pytest.raises(ModelError) as caught:
        build(f"py:{name}", (2, 5), 3, options=options)
    assert told in str(caught.value)
