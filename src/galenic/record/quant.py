"""QuantSpec: which tensor has which bits, scale and zero point. A quantized model is the float module plus this."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase

from pydantic import Field

from galenic.record.base import Record

FLOAT_BITS = 32
"""What ``bits`` says where a tensor stays float."""

HALF_BITS = 16
"""What ``bits`` says where a tensor is float16: its values are, whatever a runtime computes on."""


class TensorRole(StrEnum):
    """What a quantized tensor is to its layer."""

    INPUT = "input"
    WEIGHT = "weight"
    BIAS = "bias"
    OUTPUT = "output"


class Observer(StrEnum):
    """How a range is found from calibration values."""

    MIN_MAX = "min-max"
    MOVING = "moving"
    PERCENTILE = "percentile"
    MSE = "mse"
    ENTROPY = "entropy"


class Arithmetic(StrEnum):
    """What a runtime computes on.

    STATIC has integer weights and activations with ranges found before; DYNAMIC has integer weights, and activations whose
    ranges the runtime finds in each call; WEIGHTS stores integers and computes in float; FLOAT16 and BFLOAT16 have none.
    """

    STATIC = "static"
    DYNAMIC = "dynamic"
    WEIGHTS = "weights"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class LayerRule(Record):
    """Other bits for some layers; the last rule that matches a layer counts.

    Attributes:
        layer: a pattern (fnmatch) of module paths.
        weight_bits, activation_bits: 2 to 8, 16 for float16 or 32 for float; None leaves them as the rule says.
    """

    layer: str
    weight_bits: int | None = Field(default=None, ge=2, le=FLOAT_BITS)
    activation_bits: int | None = Field(default=None, ge=2, le=FLOAT_BITS)


class QuantRule(Record):
    """What holds where no point says otherwise.

    Attributes:
        arithmetic: what the runtime computes on.
        weight_bits, activation_bits: 2 to 8; 32 is float.
        per_channel: one scale per output channel for weights.
        group_size: weights of one output channel that share a scale; 0 for all of them.
        keep: patterns (fnmatch) of module paths that stay float.
        layers: other bits for some layers.
        observer: how activation ranges were found; None until they are.
        calibration_hash: the sha256 of the rows that ranges were found on.
        calibration_rows: how many they were.
    """

    arithmetic: Arithmetic = Arithmetic.STATIC
    weight_bits: int = 8
    activation_bits: int = 8
    per_channel: bool = True
    group_size: int = 0
    keep: tuple[str, ...] = ()
    layers: tuple[LayerRule, ...] = ()
    observer: Observer | None = None
    calibration_hash: str = ""
    calibration_rows: int = 0

    @property
    def patterns(self) -> tuple[str, ...]:
        """Every pattern of layers that it names."""
        return (*self.keep, *(one.layer for one in self.layers))

    def bits_of(self, layer: str) -> tuple[int, int]:
        """The bits of a layer's weights and of its output; 32 where they stay float."""
        if any(matches(pattern, layer) for pattern in self.keep):
            return FLOAT_BITS, FLOAT_BITS
        weight, activation = self.weight_bits, self.activation_bits
        for rule in self.layers:
            if matches(rule.layer, layer):
                weight = weight if rule.weight_bits is None else rule.weight_bits
                activation = activation if rule.activation_bits is None else rule.activation_bits
        return weight, activation


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern is of this module path or of a module around it."""
    parts = path.split(".")
    return any(fnmatchcase(".".join(parts[:depth]), pattern) for depth in range(1, len(parts) + 1))


class QuantPoint(Record):
    """One quantized tensor: ``real = scale * (integer - zero_point)``.

    Activations are unsigned: integers from 0 to 2^bits - 1. Weights are signed, without the lowest integer, and their
    zero_point is 0.

    Attributes:
        tensor: its name in the model's graph (``galenic.zoo.graph``): a layer's module path, ``path/operation`` or ``input``.
        role: input, weight, bias or output of that module.
        bits: of the integer.
        scale, zero_point: one value, or one per slice along ``axis``; group after group within a slice.
        axis: the channel axis, None for per tensor.
        group_size: weights of one slice that share a scale; 0 for all of them.
    """

    tensor: str
    role: TensorRole
    bits: int
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None
    group_size: int = 0


class LayerSensitivity(Record):
    """What a model loses where one layer alone is quantized.

    Attributes:
        layer: its module path.
        weight_bits, activation_bits: of its weights and of its output; 32 where they stay float.
        value, low, high: the mean over ``n`` validation rows with its 95 % interval.
        unit: of these.
        n: how many rows.
        chosen: whether the model's layer has these bits.
    """

    layer: str
    weight_bits: int
    activation_bits: int
    value: float
    low: float
    high: float
    unit: str = "nats"
    n: int
    chosen: bool = False


class QuantSpec(Record):
    """A rule, the points that follow from it, and what stays float by name.

    Attributes:
        rule: what was asked for, and what ranges were found on.
        points: every activation's and weight's grid, in the order of computation.
        shares: what a view or a pool makes -> the tensor whose grid it has.
        stays_float: layers that were meant to stay float.
        weights_hash: sha256 of the model's weights, which lie on the points' grids; points are for these weights alone.
        measured: what the choices were made by: candidate -> mean KL divergence (nats) of its simulation from the float
            model on validation rows.
        sensitivities: of every layer at the bits that it might have had, where bits were chosen layer by layer.
        notes: what a person should know of single layers, in sentences.
    """

    rule: QuantRule
    points: tuple[QuantPoint, ...] = ()
    shares: Mapping[str, str] = {}
    stays_float: tuple[str, ...] = ()
    weights_hash: str = ""
    measured: Mapping[str, float] = {}
    sensitivities: tuple[LayerSensitivity, ...] = ()
    notes: tuple[str, ...] = ()
