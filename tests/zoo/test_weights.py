import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

from galenic.record.errors import ModelError
from galenic.zoo.build import build
from galenic.zoo.model import weights_hash
from galenic.zoo.weights import Mismatch, load_weights


class Payload:
    """A pickle that would run code."""

    def __reduce__(self):
        return (print, ("run",))


def test_safetensors_and_checkpoints_fill_every_weight(tmp_path):
    source = build("resnet8", (1, 28, 28), 2, seed=1)
    state = {name: tensor.contiguous() for name, tensor in source.module.state_dict().items()}
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pt")
    torch.save({"epoch": 3, "state_dict": wrapped, "optimizer": {"lr": 0.1}}, tmp_path / "c.pth")
    torch.save({"model": {"n_averaged": torch.tensor(5), **wrapped}}, tmp_path / "d.ckpt")
    for file, extra in (("a.safetensors", ()), ("b.pt", ()), ("c.pth", ()), ("d.ckpt", ("n_averaged",))):
        model = build("resnet8", (1, 28, 28), 2, seed=2)
        report = load_weights(model, tmp_path / file)
        assert report.complete
        assert (report.missing, report.unexpected, report.mismatched) == ((), extra, ())
        assert report.loaded == len(state)
        assert weights_hash(model) == weights_hash(source)


def test_what_does_not_match_is_reported_by_name_and_left_as_it_was(tmp_path):
    source = build("mlp", (4,), 5, seed=1).module.state_dict()
    source["extra.weight"] = torch.zeros(1)
    del source["features.2.bias"]
    torch.save(source, tmp_path / "w.pt")
    model = build("mlp", (4,), 2, seed=2)
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    report = load_weights(model, tmp_path / "w.pt")
    assert report.missing == ("features.2.bias",)
    assert report.unexpected == ("extra.weight",)
    assert report.mismatched == (
        Mismatch("classifier.weight", (5, 32), (2, 32)),
        Mismatch("classifier.bias", (5,), (2,)),
    )
    assert report.loaded == 3
    assert not report.complete
    after = model.module.state_dict()
    for name in ("features.2.bias", "classifier.weight", "classifier.bias"):
        assert torch.equal(after[name], before[name])
    assert torch.equal(after["features.0.weight"], source["features.0.weight"])


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_timm_checkpoints_load_by_their_own_names(name, timm, tmp_path):
    theirs = timm.create_model(name, num_classes=3).eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    model = build(name, (3, 64, 64), 3)
    report = load_weights(model, tmp_path / "w.pth")
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.module(images), theirs(images), rtol=1e-4, atol=1e-5)


def monai_resnet18() -> nn.Module:
    from monai.networks.nets.resnet import resnet18

    return resnet18(spatial_dims=2, n_input_channels=1, num_classes=3, conv1_t_stride=2, bias_downsample=False)


def monai_densenet121() -> nn.Module:
    from monai.networks.nets.densenet import DenseNet121

    return DenseNet121(spatial_dims=2, in_channels=1, out_channels=3)


def monai_efficientnet_b0() -> nn.Module:
    from monai.networks.nets.efficientnet import EfficientNetBN

    return EfficientNetBN("efficientnet-b0", pretrained=False, in_channels=1, num_classes=3)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("resnet18", monai_resnet18),
        ("densenet121", monai_densenet121),
        ("efficientnet_b0", monai_efficientnet_b0),
    ],
)
def test_monai_checkpoints_load_by_their_own_names(name, theirs, tmp_path):
    torch.save({"model_state_dict": theirs().state_dict()}, tmp_path / "w.pt")
    report = load_weights(build(name, (1, 64, 64), 3), tmp_path / "w.pt")
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())


def test_files_that_cannot_be_used_are_refused_and_change_nothing(tmp_path, capsys):
    model = build("mlp", (4,), 2)
    before = weights_hash(model)
    good = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}

    (tmp_path / "cut.safetensors").write_bytes(safetensors.torch.save(good)[:-20])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "noise.pth").write_bytes(b"not a checkpoint at all")
    (tmp_path / "code.pt").write_bytes(pickle.dumps({"state_dict": Payload()}))
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"other.weight": torch.ones(2)}, tmp_path / "other.pt")
    torch.save({**good, "classifier.bias": torch.tensor([1.0, float("nan")])}, tmp_path / "nan.pt")
    (tmp_path / "weights.h5").write_bytes(b"")

    for file, told in (
        ("cut.safetensors", "damaged"),
        ("empty.pt", "weights only"),
        ("noise.pth", "weights only"),
        ("code.pt", "weights only"),
        ("module.pt", "torch.save(model.state_dict(), path)"),
        ("list.pt", "none fits"),
        ("other.pt", "none fits (the first is 'other.weight')"),
        ("nan.pt", "'classifier.bias' holds NaN"),
        ("weights.h5", "of the kind .h5"),
        ("nowhere.pt", "not there"),
    ):
        with pytest.raises(ModelError) as caught:
            load_weights(model, tmp_path / file)
        assert told in str(caught.value)
        assert file in str(caught.value)
    assert weights_hash(model) == before
    assert "run" not in capsys.readouterr().out
