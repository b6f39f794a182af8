"""Bits are assigned by what was measured, within the budget, and the record says how."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from galenic.compress.method import Bench
from galenic.compress.quantize.costs import float_bytes, weight_bytes
from galenic.compress.quantize.mixed_precision import (
    Budget,
    MixedPrecision,
    Precision,
    Wanted,
    ends_rule,
    free_layers,
    quantize_mixed,
)
from galenic.compress.quantize.static import Choices, Rows, quantize_static
from galenic.exporters.load import exporter_for
from galenic.record.errors import ModelError, RecipeError
from galenic.record.measurement import Measurement
from galenic.record.quant import FLOAT_BITS, HALF_BITS, LayerRule, Observer, QuantRule, TensorRole
from galenic.zoo.build import build
from galenic.zoo.graph import folded, layers, traced
from galenic.zoo.model import Model, weights_hash

FIXED = Choices(Observer.MIN_MAX, correct_bias=False, equalise=False, tune_ranges=False)


@pytest.fixture
def net(as_model: Callable[..., Model]) -> Model:
    """Four dense layers of which the second is far from any coarse grid: one weight of each output is much larger."""
    torch.manual_seed(0)
    sizes = (6, 12, 12, 12, 3)
    parts = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())][:-1]
    with torch.no_grad():
        parts[2].weight[:, 0] += 6.0
        parts[-1].weight.mul_(4.0)
    return as_model(nn.Sequential(*parts), (6,), 3)


@pytest.fixture
def rows(batches) -> Rows:
    return Rows(batches(64, (6,)), batches(64, (6,), 1))


def bits_of(model: Model) -> dict[str, int]:
    assert model.quant is not None
    return {point.tensor: point.bits for point in model.quant.points if point.role is TensorRole.WEIGHT}


def wanted(budget: Budget, bits: tuple[int, ...] = (8, 4), **given: object) -> Wanted:
    return Wanted(bits, budget, choices=FIXED, **given)  # type: ignore[arg-type]


def test_the_layer_that_hurts_most_gets_more_bits_within_the_size(net: Model, rows: Rows) -> None:
    before = weights_hash(net)
    _, graph = folded(net)
    eight, four = (sum(weight_bytes(graph, QuantRule(weight_bits=bits)).values()) for bits in (8, 4))
    room = four + (eight - four) // 2
    made = quantize_mixed(net, QuantRule(), rows, wanted(Budget(size_bytes=room)))
    assert weights_hash(net) == before, "the model is left as it was"
    assert bits_of(made)["2"] == 8
    assert 4 in bits_of(made).values()
    assert made.quant is not None
    spent = weight_bytes(graph, made.quant.rule)
    assert sum(spent.values()) <= room
    found = {(one.layer, one.weight_bits): one for one in made.quant.sensitivities}
    assert set(found) == {(name, bits) for name in ("0", "2", "4", "6") for bits in (8, 4)}
    assert {name: bits for (name, bits), one in found.items() if one.chosen} == bits_of(made)
    assert max(found, key=lambda key: found[key].value) == ("2", 4)
    every = list(itertools.product((8, 4), repeat=4))
    fitting = [
        those
        for those in every
        if sum(
            weight_bytes(graph, QuantRule(weight_bits=bits))[name]
            for name, bits in zip(("0", "2", "4", "6"), those, strict=True)
        )
        <= room
    ]
    best = min(fitting, key=lambda those: sum(found[name, b].value for name, b in zip("0246", those, strict=True)))
    assert tuple(bits_of(made).values()) == best
    assert f"{sum(spent.values()):,} bytes of weights" in made.quant.notes[-1]


def test_all_room_is_eight_bits_and_no_room_is_four(net: Model, rows: Rows) -> None:
    _, graph = folded(net)
    four = sum(weight_bytes(graph, QuantRule(weight_bits=4)).values())
    whole = float_bytes(graph)
    assert set(bits_of(quantize_mixed(net, QuantRule(), rows, wanted(Budget(size_ratio=1.0)))).values()) == {8}
    made = quantize_mixed(net, QuantRule(), rows, wanted(Budget(size_ratio=four / whole)))
    assert set(bits_of(made).values()) == {4}
    with pytest.raises(RecipeError, match=f"at least {four:,} bytes"):
        quantize_mixed(net, QuantRule(), rows, wanted(Budget(size_bytes=four - 1)))


def test_one_precision_for_all_is_taken_where_sums_of_single_layers_promise_too_much(
    net: Model, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from galenic.compress.quantize import mixed_precision

    _, graph = folded(net)
    five = sum(weight_bytes(graph, QuantRule(weight_bits=5)).values())
    real = mixed_precision.measure_layers

    def upside_down(*given: object, **also: object):  # the more bits a layer has, the more it is said to hurt
        told = real(*given, **also)  # type: ignore[arg-type]
        return tuple(one.model_copy(update={"value": float(one.weight_bits)}) for one in told)

    monkeypatch.setattr(mixed_precision, "measure_layers", upside_down)
    made = quantize_mixed(net, QuantRule(), rows, wanted(Budget(size_bytes=five), (8, 5, 2)))
    assert set(bits_of(made).values()) == {5}, "the sums say 2 for all"
    alike = quantize_static(net, QuantRule(weight_bits=5), rows, FIXED)
    assert weights_hash(made) == weights_hash(alike)


def test_what_a_rule_says_of_a_layer_is_not_assigned(net: Model, rows: Rows) -> None:
    rule = QuantRule(keep=("0",), layers=(LayerRule(layer="6", weight_bits=3), LayerRule(layer="4", activation_bits=8)))
    _, graph = folded(net)
    assert free_layers(graph, rule) == ("2", "4")
    made = quantize_mixed(net, rule, rows, wanted(Budget(size_ratio=0.5)))
    assert bits_of(made) == {"2": 8, "4": 8, "6": 3}
    assert made.quant is not None
    assert made.quant.stays_float == ("0",)
    assert {one.layer for one in made.quant.sensitivities} == {"2", "4", "6"}
    with pytest.raises(ModelError, match="matches no layer"):
        quantize_mixed(net, QuantRule(keep=("nowhere",)), rows, wanted(Budget(size_ratio=0.5)))


def test_the_usual_preset_is_a_rule_for_the_first_and_the_last_layer(net: Model, rows: Rows) -> None:
    given = wanted(Budget(size_ratio=0.5), (6, 3), first=Precision.INT8, last=Precision.FLOAT32)
    made = quantize_mixed(net, QuantRule(weight_bits=6), rows, given)
    assert bits_of(made) == {"0": 8, "2": 6, "4": 6}
    assert made.quant is not None
    assert made.quant.stays_float == ("6",)
    _, graph = folded(net)
    own = LayerRule(layer="6", weight_bits=5)
    rule = ends_rule(graph, QuantRule(layers=(own,)), None, Precision.FLOAT16)
    assert rule.layers == (LayerRule(layer="6", weight_bits=HALF_BITS, activation_bits=HALF_BITS), own)
    assert rule.bits_of("6")[0] == 5, "a layer's own rule counts more than the preset"


def test_a_float16_layer_has_values_of_float16_and_stays_float(net: Model, rows: Rows) -> None:
    made = quantize_mixed(net, QuantRule(), rows, wanted(Budget(size_ratio=0.5), last=Precision.FLOAT16))
    assert made.quant is not None
    assert made.quant.stays_float == ("6",)
    for tensor in (made.module[6].weight, made.module[6].bias):
        assert torch.equal(tensor, tensor.half().float())
    assert not torch.equal(net.module[6].weight, net.module[6].weight.half().float())
    _, graph = folded(net)
    assert weight_bytes(graph, made.quant.rule)["6"] == 2 * 36


def test_float_is_a_choice_too(net: Model, rows: Rows) -> None:
    _, graph = folded(net)
    eight = sum(weight_bytes(graph, QuantRule()).values())
    room = eight + 4 * 36 - (36 + 12)  # the last layer, the smallest, may be float; so may no other
    made = quantize_mixed(net, QuantRule(), rows, wanted(Budget(size_bytes=room), (32, 8)))
    assert made.quant is not None
    assert made.quant.stays_float == ("6",)
    assert {one.weight_bits for one in made.quant.sensitivities} == {8}


class Clock:
    """4 ms for a float net; an integer layer takes a quarter of its share, and ``slower`` times that in a mixed net."""

    def __init__(self, slower: float = 1.0) -> None:
        self.slower, self.asked = slower, 0

    def __call__(self, model: Model) -> Measurement:
        self.asked += 1
        names = list(layers(traced(model)))
        macs = dict(zip(names, (72, 144, 144, 36), strict=True))
        kept = model.quant.stays_float if model.quant else tuple(names)
        took = 4.0 * sum(macs[n] * (1.0 if n in kept else 0.25) for n in names) / sum(macs.values())
        took *= self.slower if 0 < len(kept) < len(names) else 1.0
        return Measurement(value=took, unit="ms", low=took, high=took, n=1)


@pytest.mark.parametrize("slower", [1.0, 1.3])
def test_a_latency_budget_keeps_float_what_hurts_most_for_the_time_that_it_takes(
    net: Model, rows: Rows, slower: float
) -> None:
    clock = Clock(slower)
    made = quantize_mixed(net, QuantRule(), rows, wanted(Budget(latency_ms=2.5), (32, 8), cost=clock))
    assert made.quant is not None
    assert Clock(slower)(made).value <= 2.5
    assert made.quant.stays_float, "there is time for a float layer"
    # 1 ms for integers, 3 ms * share more for each float layer
    harms = {one.layer: one.value for one in made.quant.sensitivities}
    extra = dict(zip(harms, (6 / 11, 12 / 11, 12 / 11, 3 / 11), strict=True))
    limit = 2.5 if slower == 1.0 else sum(extra[name] for name in made.quant.stays_float) + 1.0
    best = min(
        (those for size in range(5) for those in itertools.combinations(harms, size)),
        key=lambda those: (
            1 + sum(extra[name] for name in those) > limit + 1e-9,
            sum(harms[name] for name in harms if name not in those),
        ),
    )
    assert made.quant.stays_float == best


def test_a_latency_that_cannot_be_had_and_one_that_nobody_measures(net: Model, rows: Rows) -> None:
    with pytest.raises(RecipeError, match="smallest"):
        quantize_mixed(net, QuantRule(), rows, wanted(Budget(latency_ms=0.5), (32, 8), cost=Clock()))
    with pytest.raises(RecipeError, match="assignments takes"):
        quantize_mixed(net, QuantRule(), rows, wanted(Budget(latency_ms=3.9), (32, 8), cost=Stubborn()))
    with pytest.raises(RecipeError, match="nothing measures latency"):
        quantize_mixed(net, QuantRule(), rows, wanted(Budget(latency_ms=2.0), (32, 8)))


class Stubborn(Clock):
    """Whatever is mixed takes 4.1 ms."""

    def __call__(self, model: Model) -> Measurement:
        found = super().__call__(model)
        mixed = model.quant is not None and model.quant.stays_float
        return found.model_copy(update={"value": 4.1}) if mixed else found


def test_the_method_writes_its_rule_and_its_lineage(task, tmp_path: Path) -> None:
    start = build("resnet8", (1, 12, 12), 2, options={"width": 0.25})
    method = MixedPrecision(budget=Budget(size_ratio=0.2), observer=Observer.MSE, correct_bias=False, equalise=False)
    (made,) = method.apply(start, Bench(task, 0, tmp_path))
    assert made.lineage == ("resnet8", "mixed_precision")
    assert made.quant is not None
    assert made.quant.rule.calibration_hash == task.split_hashes["calibration"]
    assert set(bits_of(made).values()) == {8, 4}
    with pytest.raises(ModelError, match="quantized already"):
        method.apply(made, Bench(task, 0, tmp_path))


def test_the_runtime_is_asked_for_all_bits_that_a_layer_may_have() -> None:
    rule = MixedPrecision(budget=Budget(size_ratio=0.2), weight_bits=(4, 8, 32), last=Precision.FLOAT16).rule
    assert {one.weight_bits for one in rule.layers} == {8, 4, FLOAT_BITS, HALF_BITS}
    exporter_for("onnxruntime").check_rule(MixedPrecision(budget=Budget(size_ratio=0.2), weight_bits=(8, 4, 32)).rule)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": {}}, "exactly one"),
        ({"budget": {"size_ratio": 0.2, "latency_ms": 3}}, "exactly one"),
        ({"budget": {"size_ratio": 0.0}}, "greater than 0"),
        ({"budget": {"size_ratio": 0.2}, "weight_bits": [8]}, "two different ones"),
        ({"budget": {"size_ratio": 0.2}, "weight_bits": [8, 16]}, "two different ones"),
        ({"budget": {"size_ratio": 0.2}, "weight_bits": [32, 1]}, "two different ones"),
        ({}, "required"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MixedPrecision.model_validate(options)
