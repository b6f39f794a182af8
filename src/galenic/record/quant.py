"""QuantSpec: which tensor has which bits, scale and zero point. A quantized model is the float module plus this."""

from __future__ import annotations

from enum import StrEnum

from galenic.record.base import Record


class TensorRole(StrEnum):
    """What a quantized tensor is to its layer."""

    INPUT = "input"
    WEIGHT = "weight"
    BIAS = "bias"
    OUTPUT = "output"


class Observer(StrEnum):
    """How a range is found from calibration values."""

    MIN_MAX = "min-max"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


class QuantRule(Record):
    """What holds where no point says otherwise.

    Attributes:
        weight_bits, activation_bits: 8 for INT8.
        per_channel: one scale per output channel for weights.
        observer: how activation ranges are found.
        keep: patterns (fnmatch) of module paths that stay float.
        calibration_hash: the sha256 of the rows that ranges were found on.
        calibration_rows: how many they were.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    per_channel: bool = True
    observer: Observer = Observer.MIN_MAX
    keep: tuple[str, ...] = ()
    calibration_hash: str = ""
    calibration_rows: int = 0


class QuantPoint(Record):
    """One quantized tensor: ``real = scale * (integer - zero_point)``.

    Attributes:
        tensor: the module path (or the file's tensor name where there is no module) that it belongs to.
        role: input, weight, bias or output of that module.
        bits: of the stored integer.
        scale, zero_point: one value, or one per slice along ``axis``.
        axis: the channel axis, None for per tensor.
    """

    tensor: str
    role: TensorRole
    bits: int
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None


class QuantSpec(Record):
    """A rule, the points that follow from it once they are known, and what stays float by name."""

    rule: QuantRule
    points: tuple[QuantPoint, ...] = ()
    stays_float: tuple[str, ...] = ()
