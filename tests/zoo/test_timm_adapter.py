import sys

import pytest
import torch

from galenic.record.errors import MissingPackage, ModelError
from galenic.zoo.build import build
from galenic.zoo.model import weights_hash
from galenic.zoo.saving import load_model, save_model

NAME = "timm:mobilenetv3_small_050"


def test_a_timm_net_is_a_model_like_any_other(timm, tmp_path):
    model = build(NAME, (1, 32, 32), 3, seed=4, options={"drop_rate": 0.25})
    with torch.no_grad():
        assert model.module(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    assert model.spec.architecture == NAME
    assert model.module.drop_rate == 0.25
    assert weights_hash(load_model(save_model(model, tmp_path))) == weights_hash(model)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("timm:mobilenetv3_smal_050", {}, "mobilenetv3_small_050"),
        (NAME, {"pretrained": True}, "no download"),
        (NAME, {"no_such_option": 1}, "no_such_option"),
        ("timm:vit_tiny_patch16_224", {}, "fit this input shape"),
        (NAME, {"global_pool": ""}, "stops with RuntimeError"),
        (NAME, {"features_only": True}, "returns a list"),
    ],
)
def test_what_timm_cannot_build_is_refused(name, options, told, timm):
    with pytest.raises(ModelError) as caught:
        build(name, (3, 32, 32), 2, options=options)
    assert told in str(caught.value)


def test_signals_are_refused_before_timm_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match="a net for signal data"):
        build(NAME, (3, 100), 2)


def test_a_missing_timm_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackage, match=r'pip install "galenic\[timm\]"'):
        build(NAME, (3, 32, 32), 2)


def test_a_torchvision_for_another_torch_is_told_as_such(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackage) as caught:
        build(NAME, (3, 32, 32), 2)
    assert "operator torchvision::nms does not exist" in caught.value.given
    assert "--index-url" in caught.value.todo
