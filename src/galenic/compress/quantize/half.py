"""Half precision: 16-bit floats instead of 32-bit ones; nothing is rounded to a grid and nothing is calibrated.

    float16     1 sign, 5 exponent, 10 mantissa bits: numbers up to 65,504
    bfloat16    1 sign, 8 exponent, 7 mantissa bits: float32's range
The file is half as large. Whether it is faster is the processor's matter; many compute float16 as float32, and a report says
which was faster here.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import ClassVar

import torch

from galenic.compress.method import Bench, TeacherNeed
from galenic.compress.quantize.static import Rows, already_quantized
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.record.quant import HALF_BITS, Arithmetic, QuantRule, QuantSpec
from galenic.zoo.model import Model, weights_hash

LARGEST_FLOAT16 = float(torch.finfo(torch.float16).max)


def to_half(model: Model, rule: QuantRule) -> Model:
    """The same model with a rule for the exporter.

    Raises:
        ModelError: it is quantized already, or a weight is too large for float16.
    """
    if model.quant is not None:
        raise already_quantized(model)
    if rule.arithmetic is Arithmetic.FLOAT16:
        for name, tensor in model.module.state_dict().items():
            if tensor.is_floating_point() and tensor.numel() and float(tensor.abs().max()) > LARGEST_FLOAT16:
                raise ModelError(
                    given=f"{name} with values up to {float(tensor.abs().max()):.3g}, in float16",
                    expected=f"numbers up to {LARGEST_FLOAT16:g}",
                    todo="choose bfloat16, which has the range of float32",
                )
    return replace(model, quant=QuantSpec(rule=rule, weights_hash=weights_hash(model)))


class HalfFormat(StrEnum):
    """Which 16 bits."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class HalfPrecision(Record):
    """Weights and arithmetic in 16-bit floats.

    Attributes:
        format: float16 is finer, bfloat16 has float32's range.
    """

    name: ClassVar[str] = "half_precision"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE

    format: HalfFormat = HalfFormat.FLOAT16

    @property
    def rule(self) -> QuantRule:
        """16 bits for everything."""
        return QuantRule(arithmetic=Arithmetic(self.format.value), weight_bits=HALF_BITS, activation_bits=HALF_BITS)

    def quantized(self, model: Model, rows: Rows, seed: int = 0) -> Model:
        """The same module with a rule for the exporter; the rows are not read."""
        del rows, seed
        return to_half(model, self.rule)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The same module with a rule for the exporter."""
        del bench
        return [replace(to_half(model, self.rule), lineage=(*model.lineage, self.name))]
