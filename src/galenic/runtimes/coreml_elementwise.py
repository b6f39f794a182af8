"""MIL's operations on each value by itself, in numpy.

Semantics are those of coremltools' documents of the operations (converters/mil/mil/ops/defs), which are Apple's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf as erf_of
from math import pi, sqrt

import numpy as np

from galenic.runtimes.coreml_arguments import Arguments, Compute


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x), which overflows nowhere."""
    value: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * x))
    return value


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, by Python's own: numpy has none."""
    return np.fromiter(map(erf_of, x.reshape(-1).tolist()), np.float64, x.size).reshape(x.shape)


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + e^x)."""
    value: np.ndarray = np.logaddexp(0.0, x)
    return value


def gelu(a: Arguments) -> np.ndarray:
    """X times the share of a normal distribution below x, exactly or by one of two approximations."""
    x, mode = a.array("x"), a.text("mode", "EXACT")
    if mode == "EXACT":
        share = 0.5 * (1.0 + erf(x / sqrt(2.0)))
    elif mode == "TANH_APPROXIMATION":
        share = 0.5 * (1.0 + np.tanh(sqrt(2.0 / pi) * (x + 0.044715 * x**3)))
    elif mode == "SIGMOID_APPROXIMATION":
        share = sigmoid(1.702 * x)
    else:
        raise ValueError(f"the mode '{mode}'")
    value: np.ndarray = x * share
    return value


def _along_channels(a: Arguments, name: str) -> np.ndarray:
    """One value for each channel, in the second side."""
    x, values = a.array("x"), a.array(name)
    return values.reshape(-1, *[1] * (x.ndim - 2)) if values.ndim else values


def _clamped_relu(a: Arguments) -> np.ndarray:
    x = a.array("x")
    value: np.ndarray = np.minimum(np.where(x >= 0, x, a.number("alpha", 1.0) * x), a.number("beta", 1.0))
    return value


def _softplus_parametric(a: Arguments) -> np.ndarray:
    value: np.ndarray = _along_channels(a, "alpha") * softplus(_along_channels(a, "beta") * a.array("x"))
    return value


def _prelu(a: Arguments) -> np.ndarray:
    x = a.array("x")
    return np.where(x > 0, x, _along_channels(a, "alpha") * x)


def _select(a: Arguments) -> np.ndarray:
    parts = [a.array(name) for name in ("cond", "a", "b")]
    a.check_shape(np.broadcast_shapes(*(part.shape for part in parts)))
    return np.where(parts[0].astype(bool), parts[1], parts[2])


def _unary(function: Callable[[np.ndarray], np.ndarray]) -> Compute:
    return lambda a: function(a.array("x"))


def _binary(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Compute:
    def compute(a: Arguments) -> np.ndarray:
        x, y = a.array("x"), a.array("y")
        a.check_shape(np.broadcast_shapes(x.shape, y.shape))
        return function(x, y)

    return compute


UNARY: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "abs": np.abs,
    "atan": np.arctan,
    "cast": lambda x: x,  # the declared type is what it becomes
    "ceil": np.ceil,
    "cos": np.cos,
    "erf": erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "floor": np.floor,
    "identity": lambda x: x,
    "logical_not": np.logical_not,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "round": np.rint,
    "sigmoid": sigmoid,
    "sign": np.sign,
    "silu": lambda x: x * sigmoid(x),
    "sin": np.sin,
    "softplus": softplus,
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tanh": np.tanh,
}

BINARY: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "add": np.add,
    "equal": np.equal,
    "floor_div": np.floor_divide,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "pow": np.power,
    "real_div": np.true_divide,
    "sub": np.subtract,
}

OPERATIONS: Mapping[str, Compute] = {
    **{name: _unary(function) for name, function in UNARY.items()},
    **{name: _binary(function) for name, function in BINARY.items()},
    "clamped_relu": _clamped_relu,
    "clip": lambda a: np.clip(a.array("x"), a.number("alpha", 0.0), a.number("beta", 1.0)),
    "elu": lambda a: np.where(a.array("x") > 0, a.array("x"), a.number("alpha", 1.0) * np.expm1(a.array("x"))),
    "gelu": gelu,
    "inverse": lambda a: 1.0 / (a.array("x") + a.number("epsilon", 1e-4)),
    "leaky_relu": lambda a: np.where(a.array("x") >= 0, a.array("x"), a.number("alpha", 0.01) * a.array("x")),
    "linear_activation": lambda a: a.number("alpha", 1.0) * a.array("x") + a.number("beta", 0.0),
    "log": lambda a: np.log(a.array("x") + a.number("epsilon", 1e-45)),
    "prelu": _prelu,
    "rsqrt": lambda a: 1.0 / np.sqrt(a.array("x") + a.number("epsilon", 1e-12)),
    "scaled_tanh": lambda a: a.number("alpha", 1.0) * np.tanh(a.number("beta", 1.0) * a.array("x")),
    "select": _select,
    "sigmoid_hard": lambda a: np.clip(a.number("alpha", 0.2) * a.array("x") + a.number("beta", 0.5), 0, 1),
    "softplus_parametric": _softplus_parametric,
    "threshold": lambda a: np.maximum(a.array("x"), a.number("alpha", 0.0)),
    "thresholded_relu": lambda a: np.where(a.array("x") >= a.number("alpha", 1.0), a.array("x"), 0),
}
"""By MIL's name of the operation."""
