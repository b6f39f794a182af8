"""Functions of one value, as tables of their 256 answers on the grids of an input and an output.

Rounded exactly, halves upwards, which is what TensorFlow Lite's reference kernels answer; but for two whose kernels are coarser,
and which are computed as these compute them: HARD_SWISH in 16 bits, LEAKY_RELU with one fixed-point factor a side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit

from galenic.exporters.c_source import as_multiplier
from galenic.exporters.c_steps import HIGHEST, LOWEST, Tensor

RELUISH_SCALE = 3 / 32768
HIRES_BITS = 7
INT16 = np.iinfo(np.int16)
Function = Callable[[np.ndarray], np.ndarray]
REAL: Mapping[str, Function] = {
    "QUANTIZE": lambda x: x,
    "RELU": lambda x: np.maximum(x, 0),
    "RELU6": lambda x: np.clip(x, 0, 6),
    "LOGISTIC": expit,
    "TANH": np.tanh,
    "ELU": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
}
"""LiteRT's operations as real functions; QUANTIZE is another grid."""
FUNCTIONS = frozenset({*REAL, "HARD_SWISH", "LEAKY_RELU"})


def answers(kind: str, entry: Tensor, output: Tensor, slope: float) -> np.ndarray:
    """(256,) int8: the answer of integer q at q + 128."""
    steps = np.arange(LOWEST, HIGHEST + 1, dtype=np.int64) - entry.zero_point
    if kind == "HARD_SWISH":
        wanted = _hard_swish(steps, entry.scale, output.scale)
    elif kind == "LEAKY_RELU":
        factors = (entry.scale / output.scale, entry.scale * slope / output.scale)
        above, below = (_requantized(steps, *as_multiplier(factor)) for factor in factors)
        wanted = np.where(steps >= 0, above, below)
    else:
        wanted = np.floor(REAL[kind](entry.scale * steps) / output.scale + 0.5)
    clipped: np.ndarray = np.clip(wanted + output.zero_point, LOWEST, HIGHEST)
    return clipped.astype(np.int8)


def _hard_swish(steps: np.ndarray, scale_in: float, scale_out: float) -> np.ndarray:
    """``x relu6(x + 3) / 6`` as ``reference_ops::HardSwish`` has it: x in 16 bits, and (x + 3) / 6 clipped to 0 .. 1 in 15 bits."""
    hires, hires_scale = steps << HIRES_BITS, scale_in / (1 << HIRES_BITS)
    factor, exponent = as_multiplier(hires_scale / scale_out)
    gate_factor, gate_exponent = as_multiplier(hires_scale / RELUISH_SCALE)
    gate = hires
    if gate_exponent > 0:
        gate = np.clip(gate << (gate_exponent - 1), INT16.min, INT16.max)
    gate = _doubled_high(gate, _halved(gate_factor), rounds=True)
    if gate_exponent > 0:
        gate = np.clip(gate << 1, INT16.min, INT16.max)
    gate = (_shifted(gate, max(-gate_exponent, 0)) + (1 << 15)) >> 1
    product = _doubled_high(gate, _doubled_high(hires, _halved(factor), rounds=True), rounds=False)
    return _shifted(product, max(-exponent, 0))


def _halved(multiplier: int) -> int:
    """A factor of 31 bits in 15."""
    return min((multiplier + (1 << 15)) >> 16, int(INT16.max))


def _doubled_high(a: np.ndarray, b: np.ndarray | int, *, rounds: bool) -> np.ndarray:
    """``a b / 2^15``, to nearest (halves away from zero, but for negative ones) or towards zero."""
    product: np.ndarray = a * b
    nudge = np.where(product >= 0, 1 << 14, 1 - (1 << 14)) if rounds else 0
    moved: np.ndarray = product + nudge
    found: np.ndarray = np.sign(moved) * (np.abs(moved) >> 15)
    return found


def _requantized(values: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """The kernel ``requantize.c`` in numpy."""
    product = (values << max(shift, 0)) * multiplier
    moved = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    return _shifted(np.sign(moved) * (np.abs(moved) >> 31), max(-shift, 0))


def _shifted(values: np.ndarray, bits: int) -> np.ndarray:
    """Divided by 2^bits, to nearest, halves away from zero."""
    mask = (1 << bits) - 1
    found: np.ndarray = (values >> bits) + ((values & mask) > (mask >> 1) + (values < 0))
    return found
