"""Quantization: one method a file."""

from galenic.compress.quantize.mixed_precision import MixedPrecision as MixedPrecision
from galenic.compress.quantize.static_int8 import StaticInt8 as StaticInt8

METHODS = (StaticInt8, MixedPrecision)
