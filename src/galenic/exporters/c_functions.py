"""Functions of one value, as tables of their 256 answers on the grids of an input and an output."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit

from galenic.exporters.c_steps import HIGHEST, LOWEST, Tensor

Function = Callable[[np.ndarray, float], np.ndarray]
FUNCTIONS: Mapping[str, Function] = {
    "QUANTIZE": lambda x, _: x,
    "RELU": lambda x, _: np.maximum(x, 0),
    "RELU6": lambda x, _: np.clip(x, 0, 6),
    "LEAKY_RELU": lambda x, slope: np.where(x < 0, slope * x, x),
    "HARD_SWISH": lambda x, _: x * np.clip(x + 3, 0, 6) / 6,
    "LOGISTIC": lambda x, _: expit(x),
    "TANH": lambda x, _: np.tanh(x),
    "ELU": lambda x, _: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
}
"""LiteRT's operations as real functions of a value and a slope; QUANTIZE is another grid."""


def answers(kind: str, entry: Tensor, output: Tensor, slope: float) -> np.ndarray:
    """(256,) int8: the answer of integer q at q + 128, exactly rounded, halves upwards."""
    real = entry.scale * (np.arange(LOWEST, HIGHEST + 1) - entry.zero_point)
    wanted = FUNCTIONS[kind](real, slope) / output.scale + output.zero_point
    return np.clip(np.floor(wanted + 0.5), LOWEST, HIGHEST).astype(np.int8)
