"""What an operation of an ML program is given when it is computed: its values by the names of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Arguments:
    """The values of one operation; float16 ones as float32.

    Attributes:
        values: parameter -> array, text, or a list of arrays where several values are given for it.
        shapes: what its results are declared as; None for a side of any size.
    """

    values: Mapping[str, Any]
    shapes: tuple[Shape, ...]

    def array(self, name: str) -> np.ndarray:
        """A value that has to be there; ValueError where it is not."""
        value = self.values.get(name)
        if not isinstance(value, np.ndarray):
            raise ValueError(f"no array for its parameter {name}")
        return value

    def optional(self, name: str) -> np.ndarray | None:
        """A value that may be left out."""
        return self.array(name) if name in self.values else None

    def arrays(self, name: str) -> list[np.ndarray]:
        """Several values of one parameter."""
        value = self.values.get(name)
        if isinstance(value, np.ndarray):
            return [value]
        if not isinstance(value, list) or not all(isinstance(one, np.ndarray) for one in value):
            raise ValueError(f"no arrays for its parameter {name}")
        return value

    def number(self, name: str, default: float) -> float:
        """One number."""
        return float(self.array(name).reshape(())) if name in self.values else default

    def integer(self, name: str, default: int | None = None) -> int:
        """One integer; ValueError where it is not there and has no default."""
        if name in self.values or default is None:
            return int(self.array(name).reshape(()))
        return default

    def integers(self, name: str, default: list[int] | None = None) -> list[int]:
        """Several integers; ValueError where they are not there and have no default."""
        if name in self.values or default is None:
            return [int(value) for value in self.array(name).reshape(-1)]
        return default

    def flag(self, name: str) -> bool:
        """A truth value, False where it is left out."""
        return bool(self.array(name).reshape(())) if name in self.values else False

    def flags(self, name: str, count: int) -> list[bool]:
        """Several truth values, all False where they are left out."""
        return [bool(value) for value in self.array(name).reshape(-1)] if name in self.values else [False] * count

    def text(self, name: str, default: str | None = None) -> str:
        """A word, such as a mode; ValueError where it is not there and has no default."""
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise ValueError(f"no text for its parameter {name}")
        return value

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """ValueError unless a result of this shape is what is declared: asked before much memory is taken for it."""
        declared = self.shapes[0]
        if len(declared) != len(shape) or any(
            one not in (None, other) for one, other in zip(declared, shape, strict=True)
        ):
            raise ValueError(f"a result of shape {shape} that is declared as {declared}")


Compute = Callable[[Arguments], Any]
"""One result as an array, or several as a list of arrays."""
