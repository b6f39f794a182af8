"""Bytes counted by hand, and shares of work against the count of a whole net."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from galenic.compress.quantize.costs import float_bytes, layer_bytes, uniform_bits, weight_bytes, work_shares
from galenic.record.quant import FLOAT_BITS, LayerRule, QuantRule
from galenic.zoo.graph import traced
from galenic.zoo.macs import count_macs, module_macs
from galenic.zoo.model import Model


@pytest.fixture
def net(as_model: Callable[..., Model]) -> Model:
    """Weights of 6 * 9 = 54, 6 * 3 * 5 * 5 = 450 and 2 * 24 = 48."""
    parts = [nn.Conv2d(1, 6, 3), nn.ConvTranspose2d(6, 3, 5, stride=2), nn.AdaptiveAvgPool2d((4, 2)), nn.Flatten()]
    return as_model(nn.Sequential(*parts, nn.Linear(24, 2)), (1, 8, 8), 2)


def test_bytes_are_those_of_packed_integers_and_their_scales(net: Model) -> None:
    graph = traced(net)
    assert weight_bytes(graph, QuantRule()) == {"0": 54 + 4 * 6, "1": 450 + 4 * 3, "4": 48 + 4 * 2}
    assert weight_bytes(graph, QuantRule(weight_bits=3))["0"] == 21 + 4 * 6, "54 * 3 bits are 20.25 bytes"
    assert weight_bytes(graph, QuantRule(weight_bits=4, per_channel=False))["1"] == 225 + 4
    assert layer_bytes(graph, "4", QuantRule(group_size=8), 4) == 24 + 4 * 2 * 3
    assert layer_bytes(graph, "0", QuantRule(group_size=8), 4) == 27 + 4 * 6, "9 weights make no groups of 8"
    rule = QuantRule(keep=("0",), layers=(LayerRule(layer="4", weight_bits=16),))
    assert weight_bytes(graph, rule) == {"0": 216, "1": 462, "4": 96}
    assert float_bytes(graph) == 4 * (54 + 450 + 48)


def test_one_precision_for_all_within_a_size(net: Model) -> None:
    graph = traced(net)
    whole = sum(weight_bytes(graph, QuantRule(weight_bits=6)).values())
    assert uniform_bits(graph, QuantRule(), whole) == 6
    assert uniform_bits(graph, QuantRule(), whole - 1) == 5
    assert uniform_bits(graph, QuantRule(), whole - 1, (8, 4)) == 4
    assert uniform_bits(graph, QuantRule(), 100) is None
    kept = QuantRule(keep=("1",))
    assert uniform_bits(graph, kept, 1800 + 54 + 24 + 48 + 8) == 8, "what a rule keeps is counted as it is"
    assert uniform_bits(graph, kept, 1800 + 54 + 24 + 48 + 7) == 7
    assert FLOAT_BITS not in {uniform_bits(graph, QuantRule(), 1e9)}


def test_shares_of_work_are_those_of_the_counted_multiplications(net: Model) -> None:
    shares = work_shares(traced(net), (1, 8, 8))
    whole = count_macs(net)
    parts = {
        "0": module_macs(net.module[0], (1, 8, 8)),
        "1": module_macs(net.module[1], (6, 6, 6)),
        "4": module_macs(net.module[4], (24,)),
    }
    assert sum(parts.values()) == whole
    assert parts["0"] == 6 * 36 * 9
    assert shares == pytest.approx({name: count / whole for name, count in parts.items()})
