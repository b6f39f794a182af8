import dataclasses
import json

import pytest
import safetensors.torch
import torch
from torch import nn

from galenic.record.errors import ModelError
from galenic.record.quant import QuantRule, QuantSpec
from galenic.record.sparsity import Sparsity
from galenic.zoo.build import build
from galenic.zoo.model import removed_share, weights_hash
from galenic.zoo.saving import SPEC_FILE, WEIGHTS_FILE, load_model, save_model
from galenic.zoo.surgery import redo


def same_bits(first: nn.Module, second: nn.Module) -> None:
    one, two = first.state_dict(), second.state_dict()
    assert list(one) == list(two)
    for name, tensor in one.items():
        assert tensor.dtype == two[name].dtype
        assert tensor.numpy(force=True).tobytes() == two[name].numpy(force=True).tobytes()


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("mobilenet_v3_small", (1, 28, 28), {"width": 0.5}),
        ("densenet121", (1, 28, 28), {}),
        ("ds_conv1d", (3, 100), {"depth": 2}),
        ("mlp", (5,), {"hidden": (8, 4)}),
    ],
)
def test_a_model_comes_back_bit_for_bit(name, shape, options, tmp_path):
    model = build(name, shape, 3, seed=9, options=options)
    model.module.train()(torch.randn(4, *shape))  # so that buffers are not the initial ones
    model.module.classifier.bias.data[0] = -0.0
    model = dataclasses.replace(model, lineage=(name, "soft_target"), quant=QuantSpec(rule=QuantRule(keep=("head",))))
    loaded = load_model(save_model(model, tmp_path / "deep" / "model"))
    same_bits(model.module, loaded.module)
    assert weights_hash(loaded) == weights_hash(model)
    assert (loaded.spec, loaded.lineage, loaded.quant) == (model.spec, model.lineage, model.quant)
    assert not loaded.module.training


def test_types_and_memory_formats_survive(tmp_path):
    model = build("resnet8", (1, 28, 28), 2)
    model.module.to(memory_format=torch.channels_last).to(torch.bfloat16)
    loaded = load_model(save_model(model, tmp_path))
    assert loaded.module.classifier.weight.dtype is torch.bfloat16
    assert weights_hash(loaded) == weights_hash(model)


def test_a_shared_tensor_is_stored_once_and_views_of_one_storage_are_stored_whole(tmp_path):
    model = build("mlp", (4,), 2, options={"hidden": [4, 4]})
    first, _, second, _ = model.module.features
    second.weight = first.weight
    both = torch.arange(8.0)
    first.bias.data, second.bias.data = both[:4], both[4:]
    save_model(model, tmp_path)
    stored = safetensors.torch.load_file(tmp_path / WEIGHTS_FILE)
    assert "features.0.weight" in stored
    assert "features.2.weight" not in stored
    same_bits(model.module, load_model(tmp_path).module)


def test_saving_over_an_older_model_replaces_it(tmp_path):
    for seed in (1, 2):
        save_model(build("mlp", (4,), 2, seed=seed), tmp_path)
    assert weights_hash(load_model(tmp_path)) == weights_hash(build("mlp", (4,), 2, seed=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == [SPEC_FILE, WEIGHTS_FILE]


def test_a_sparse_model_comes_back_with_what_is_known_of_its_zeros(tmp_path):
    model = build("mlp", (4,), 2, options={"hidden": [6]})
    model.module.features[0].weight.data[torch.rand(6, 4) < 0.5] = 0
    sparsity = Sparsity(parameters=("features.0.weight",), training_flops=0.1 + 0.2, notes=("2:4 does not fit: a",))
    model = dataclasses.replace(model, sparsity=sparsity)
    loaded = load_model(save_model(model, tmp_path))
    assert loaded.sparsity == sparsity
    assert removed_share(loaded) == removed_share(model) > 0
    same_bits(model.module, loaded.module)


def test_a_model_that_was_saved_before_there_was_sparsity_is_read(tmp_path):
    model = build("mlp", (4,), 2)
    path = save_model(model, tmp_path) / SPEC_FILE
    old = json.loads(path.read_text())
    assert old.pop("sparsity", "missing") is None
    path.write_text(json.dumps(old))
    loaded = load_model(tmp_path)
    assert loaded.sparsity is None
    same_bits(model.module, loaded.module)


def test_a_changed_structure_is_made_again(tmp_path):
    model = build("mlp", (4,), 2, options={"hidden": [6, 5]})
    history = ({"change": "channels", "groups": [["features.0", True, [1, 4]]]},)
    redo(model.module, (4,), history)
    pruned = dataclasses.replace(model, spec=model.spec.model_copy(update={"history": history}))
    loaded = load_model(save_model(pruned, tmp_path))
    assert [tuple(one.shape) for one in loaded.module.parameters()] == [(4, 4), (4,), (5, 4), (5,), (2, 5), (2,)]
    same_bits(pruned.module, loaded.module)


def test_a_change_that_is_not_known_is_refused(tmp_path):
    model = build("mlp", (4,), 2)
    strange = model.spec.model_copy(update={"history": ({"change": "grown"},)})
    save_model(dataclasses.replace(model, spec=strange), tmp_path)
    with pytest.raises(ModelError, match="changed by 'grown'"):
        load_model(tmp_path)


def test_damaged_or_mixed_files_are_refused(tmp_path):
    save_model(build("mlp", (4,), 2), tmp_path)
    weights, spec = tmp_path / WEIGHTS_FILE, tmp_path / SPEC_FILE
    whole, text = weights.read_bytes(), spec.read_text()

    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ModelError, match="by their hash"):
        load_model(tmp_path)
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)
    weights.write_bytes(whole)
    load_model(tmp_path)

    spec.write_text(text[:50])
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)
    other = json.loads(text)
    other["spec"]["options"] = {"hidden": [3]}
    spec.write_text(json.dumps(other))
    with pytest.raises(ModelError, match="do not fit mlp"):
        load_model(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path / "nowhere")
