"""Places of marks worked out by hand, and what is said of a rule."""

from __future__ import annotations

from types import ModuleType

import pytest

from galenic.record.quant import Arithmetic, LayerRule, LayerSensitivity, Observer, QuantRule, QuantSpec
from galenic.reporting.layers import (
    bits_phrase,
    divergence,
    divergence_range,
    is_told,
    measured_rows,
    quantization_phrase,
    sensitivity_chart,
)


def sensitivity(layer: str, bits: int, value: float, half: float = 0.0, chosen: bool = False) -> LayerSensitivity:
    return LayerSensitivity(
        layer=layer,
        weight_bits=bits,
        activation_bits=8,
        value=value,
        low=max(0.0, value - half),
        high=value + half,
        n=100,
        chosen=chosen,
    )


def test_marks_stand_on_a_logarithmic_axis() -> None:
    chart = sensitivity_chart(
        [sensitivity("a", 4, 0.1, chosen=True), sensitivity("a", 8, 0.001), sensitivity("b", 8, 0.01)]
    )
    assert chart is not None
    # the axis goes from 10^-3 to 10^-1, with 0.2 powers of room on both sides
    places = {(row.layer, mark.found.weight_bits): mark.at for row in chart.rows for mark in row.marks}
    assert places == {
        ("a", 8): pytest.approx(100 * 0.2 / 2.4, abs=0.01),
        ("b", 8): pytest.approx(50.0),
        ("a", 4): pytest.approx(100 * 2.2 / 2.4, abs=0.01),
    }
    assert [(row.layer, row.chosen) for row in chart.rows] == [("a", 4), ("b", None)]
    assert [mark.found.weight_bits for mark in chart.rows[0].marks] == [8, 4]
    assert (chart.bits, chart.unit, chart.n) == ((8, 4), "nats", 100)
    assert [(tick.label, tick.left) for tick in chart.ticks] == [
        ("0.1", pytest.approx(91.67)),
        ("0.01", pytest.approx(50.0)),
        ("0.001", pytest.approx(8.33)),
    ]


def test_what_is_tiny_stands_at_the_left_end_and_the_interval_around_its_mark() -> None:
    chart = sensitivity_chart([sensitivity("a", 8, 0.0), sensitivity("b", 8, 0.5, 0.4)])
    assert chart is not None
    wide, nothing = (row.marks[0] for row in chart.rows)
    assert (nothing.at, nothing.left, nothing.right) == (0.0, 0.0, 0.0)
    assert wide.left < wide.at < wide.right < 100
    assert len(chart.ticks) == 4, "six powers, every second one"


def test_all_that_is_alike_has_an_axis_too() -> None:
    chart = sensitivity_chart([sensitivity("a", 8, 0.0), sensitivity("b", 8, 0.0)])
    assert chart is not None
    assert all(0 <= mark.at <= 100 for row in chart.rows for mark in row.marks)
    assert sensitivity_chart([]) is None


def test_the_layer_that_might_hurt_most_is_first(sample: ModuleType) -> None:
    chart = sensitivity_chart(tuple(reversed(sample.sensitivities())))
    assert chart is not None
    assert [row.layer.split(".")[1] for row in chart.rows] == [str(number) for number in range(15)]
    assert [row.chosen for row in chart.rows][:5] == [8, 8, 8, 4, 4]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0123, "0.012"), (0.01, "0.010"), (1.24e-5, "1.2e-05"), (12.4, "12"), (float("nan"), "–")],
)
def test_divergences_have_two_digits(value: float, text: str) -> None:
    assert divergence(value) == text


def test_words() -> None:
    assert divergence_range(0.01, 0.02) == "0.010 to 0.020"
    assert [bits_phrase(bits) for bits in (4, 16, 32)] == ["4 bits", "float16", "float32"]
    assert [(name, value) for name, value, _ in measured_rows({"a": 0.2, "b": 0.1})] == [("b", "0.10"), ("a", "0.20")]
    assert [best for _, _, best in measured_rows({"a": 0.2, "b": 0.1})] == [True, False]
    assert not is_told(None)
    assert not is_told(QuantSpec(rule=QuantRule()))
    assert is_told(QuantSpec(rule=QuantRule(), notes=("a",)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (QuantRule(), "static, weights 8 bits per channel, activations 8 bits"),
        (
            QuantRule(per_channel=False, observer=Observer.MSE, calibration_rows=1200),
            "static, weights 8 bits per tensor, activations 8 bits, ranges by mse over 1,200 calibration cases",
        ),
        (
            QuantRule(
                weight_bits=4, layers=(LayerRule(layer="a", weight_bits=32), LayerRule(layer="b", weight_bits=8))
            ),
            "static, weights 4 bits per channel (some layers float32 or 8 bits), activations 8 bits",
        ),
        (
            QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=4, group_size=32),
            "weights only, weights 4 bits in groups of 32, activations float32",
        ),
        (QuantRule(arithmetic=Arithmetic.BFLOAT16), "bfloat16"),
    ],
)
def test_a_rule_in_words(rule: QuantRule, text: str) -> None:
    assert quantization_phrase(rule) == text
