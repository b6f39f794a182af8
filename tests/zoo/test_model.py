import hashlib

import pytest
import torch
from torch import nn

from galenic.record.model import ModelSpec
from galenic.zoo.model import Model, parameters, state_hash, weights_hash

SPEC = ModelSpec(architecture="mlp", input_shape=(2,), outputs=2)


def test_the_hash_is_of_names_types_shapes_and_bytes_in_the_order_of_names():
    state = {"b": torch.tensor([[1.0, -0.0]]), "a": torch.tensor(3)}
    text = b"a|torch.int64|()|" + (3).to_bytes(8, "little")
    text += b"b|torch.float32|(1, 2)|" + bytes.fromhex("0000803f00000080")
    assert state_hash(state) == hashlib.sha256(text).hexdigest()


def test_the_hash_sees_one_bit_and_a_buffer_but_not_the_memory_layout():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    model = Model(net, SPEC)
    before = weights_hash(model)
    net.to(memory_format=torch.channels_last)
    assert weights_hash(model) == before
    net[1].running_mean[0] = 1e-30
    assert weights_hash(model) != before


def test_a_tensor_that_is_used_twice_counts_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert parameters(Model(net, SPEC)) == 12
    net[1].weight = net[0].weight
    assert parameters(Model(net, SPEC)) == 8


def test_a_model_is_frozen_and_equal_only_to_itself():
    model = Model(nn.Identity(), SPEC)
    assert model == model  # noqa: PLR0124
    assert model != Model(model.module, SPEC)
    assert len({model, model}) == 1
    with pytest.raises(AttributeError):
        model.lineage = ("other",)
