"""A rule and no points; a weight that float16 cannot hold is refused."""

from __future__ import annotations

import pytest
import torch

from galenic.compress.quantize.half import HalfFormat, HalfPrecision, to_half
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic


def test_the_weights_stay_and_the_rule_says_what_is_wanted(known) -> None:
    made = to_half(known, HalfPrecision().rule)
    assert made.module is known.module
    assert made.quant is not None
    assert (made.quant.rule.arithmetic, made.quant.points) == (Arithmetic.FLOAT16, ())
    assert HalfPrecision(format=HalfFormat.BFLOAT16).rule.arithmetic is Arithmetic.BFLOAT16
    with pytest.raises(ModelError, match="quantized already"):
        to_half(made, HalfPrecision().rule)


def test_a_weight_beyond_float16_is_named(known) -> None:
    with torch.no_grad():
        known.module[2].bias[1] = 1e5
    with pytest.raises(ModelError, match=r"2\.bias with values up to 1e\+05, in float16; expected numbers up to 65504"):
        to_half(known, HalfPrecision().rule)
    assert to_half(known, HalfPrecision(format=HalfFormat.BFLOAT16).rule).quant is not None
