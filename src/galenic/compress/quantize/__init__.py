"""Quantization: one method a file."""

from galenic.compress.quantize.dynamic_int8 import DynamicInt8 as DynamicInt8
from galenic.compress.quantize.half import HalfPrecision as HalfPrecision
from galenic.compress.quantize.int4 import StaticW4A8 as StaticW4A8
from galenic.compress.quantize.int4 import WeightInt4 as WeightInt4
from galenic.compress.quantize.mixed_precision import MixedPrecision as MixedPrecision
from galenic.compress.quantize.qat import QAT as QAT
from galenic.compress.quantize.static_int8 import StaticInt8 as StaticInt8

METHODS = (
    StaticInt8,
    DynamicInt8,
    StaticW4A8,
    WeightInt4,
    MixedPrecision,
    QAT,
    HalfPrecision,
)
