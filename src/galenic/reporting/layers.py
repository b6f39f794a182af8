"""What a quantized file's specification says, drawn and in words: each layer's sensitivity, and how choices were made.

position(v) = 100 * (log10 v - low) / (high - low)        percent from the left: sensitivities span many powers of ten
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from galenic.record.quant import FLOAT_BITS, HALF_BITS, Arithmetic, LayerSensitivity, QuantRule, QuantSpec
from galenic.reporting.numbers import MISSING
from galenic.reporting.shapes import Axis, Tick

FIRST = 12
"""Layers that are drawn at once; the others are behind a button."""

SMALLEST = 1e-9
"""What is less, and what is zero, stands at the left end of the chart."""

TINY = 1e-3
"""What is less is written with its power of ten."""

ROOM = 0.2
"""Powers of ten beside what is drawn, for half a mark."""

LONGEST = 6
"""Powers of ten that the chart shows; what is less stands at its left end."""


@dataclass(frozen=True)
class Mark:
    """One number of bits of a layer: where its value stands, and its interval."""

    found: LayerSensitivity
    at: float
    left: float
    right: float

    @property
    def words(self) -> str:
        """The same for who cannot see it."""
        one = self.found
        chosen = ", chosen" if one.chosen else ""
        interval = divergence_range(one.low, one.high)
        return f"{bits_phrase(one.weight_bits)} {divergence(one.value)} {one.unit} ({interval}){chosen}"


@dataclass(frozen=True)
class LayerRow:
    """A layer with a mark for every number of bits that it might have had; ``chosen`` are the bits that it has."""

    layer: str
    marks: tuple[Mark, ...]
    chosen: int | None


@dataclass(frozen=True)
class SensitivityChart:
    """Layers, the one that hurts most first; ``bits`` are all that occur, the most first."""

    rows: tuple[LayerRow, ...]
    ticks: tuple[Tick, ...]
    bits: tuple[int, ...]
    unit: str
    n: int


def sensitivity_chart(found: Sequence[LayerSensitivity]) -> SensitivityChart | None:
    """The chart of a model's sensitivities; None where it has none."""
    if not found:
        return None
    axis = _axis(found)
    rows = []
    for layer in dict.fromkeys(one.layer for one in found):
        own = sorted((one for one in found if one.layer == layer), key=lambda one: -one.weight_bits)
        chosen = next((one.weight_bits for one in own if one.chosen), None)
        rows.append(LayerRow(layer, tuple(_mark(axis, one) for one in own), chosen))
    rows.sort(key=lambda row: -max(mark.found.value for mark in row.marks))
    bits = sorted({one.weight_bits for one in found}, reverse=True)
    return SensitivityChart(tuple(rows), _ticks(axis), tuple(bits), found[0].unit, max(one.n for one in found))


def _mark(axis: Axis, one: LayerSensitivity) -> Mark:
    return Mark(one, *(axis.position(_power(value)) for value in (one.value, one.low, one.high)))


def _axis(found: Sequence[LayerSensitivity]) -> Axis:
    """Whole powers of ten around what is drawn, at most ``LONGEST`` of them."""
    high = math.ceil(_power(max(one.high for one in found)))
    low = math.floor(_power(min(one.value for one in found)))
    return Axis(max(min(low, high - 1), high - LONGEST) - ROOM, high + ROOM)


def _ticks(axis: Axis) -> tuple[Tick, ...]:
    """Powers of ten, from the highest down: every second one where there are more than four."""
    highest, lowest = math.floor(axis.high), math.ceil(axis.low)
    step = 2 if highest - lowest > 4 else 1
    return tuple(Tick(axis.position(power), f"{10.0**power:g}") for power in range(highest, lowest - 1, -step))


def _power(value: float) -> float:
    return math.log10(max(value, SMALLEST))


def divergence(value: float) -> str:
    """A divergence in nats with two significant digits: ``0.012``, or ``1.2e-05`` where it is tiny."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else MISSING
    return f"{value:#.2g}".rstrip(".") if value >= TINY else f"{value:.1e}"


def divergence_range(low: float, high: float) -> str:
    """``0.010 to 0.015``."""
    return f"{divergence(low)} to {divergence(high)}"


def bits_phrase(bits: int) -> str:
    """``8 bits``, ``float16`` or ``float32``."""
    return {HALF_BITS: "float16", FLOAT_BITS: "float32"}.get(bits, f"{bits} bits")


def quantization_phrase(rule: QuantRule) -> str:
    """What a rule asks for, such as ``static, weights 8 bits per channel, activations 8 bits, ranges by mse over 512 cases``."""
    if rule.arithmetic in {Arithmetic.FLOAT16, Arithmetic.BFLOAT16}:
        return rule.arithmetic.value
    bits = {one.weight_bits for one in rule.layers if one.weight_bits is not None} - {rule.weight_bits}
    several = " or ".join(bits_phrase(one) for one in sorted(bits, reverse=True))
    own = f" (some layers {several})" if several else ""
    per = f"in groups of {rule.group_size}" if rule.group_size else "per channel" if rule.per_channel else "per tensor"
    kind = "weights only" if rule.arithmetic is Arithmetic.WEIGHTS else rule.arithmetic.value
    return f"{kind}, weights {bits_phrase(rule.weight_bits)} {per}{own}, {_activations(rule)}"


def _activations(rule: QuantRule) -> str:
    if rule.arithmetic is Arithmetic.WEIGHTS:
        return "activations float32"
    if rule.arithmetic is Arithmetic.DYNAMIC:
        return f"activations {bits_phrase(rule.activation_bits)}, ranges found in each call"
    ranges = f", ranges by {rule.observer.value}" if rule.observer is not None else ""
    cases = f" over {rule.calibration_rows:,} calibration cases" if ranges and rule.calibration_rows else ""
    return f"activations {bits_phrase(rule.activation_bits)}{ranges}{cases}"


def measured_rows(measured: Mapping[str, float]) -> list[tuple[str, str, bool]]:
    """How choices were made: what was tried, its divergence, and whether none is less; the best first."""
    ordered = sorted(measured.items(), key=lambda one: one[1])
    return [(name, divergence(value), number == 0) for number, (name, value) in enumerate(ordered)]


def is_told(quant: QuantSpec | None) -> bool:
    """Whether a specification has something to show beyond its rule."""
    return quant is not None and bool(quant.sensitivities or quant.measured or quant.notes)
