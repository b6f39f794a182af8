"""The kernels in C as text, and what the integers of their structs hold, as that text declares them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from galenic.record.errors import ModelError

KERNELS = "c_kernels"
DECLARATION = re.compile(r"^    (u?int\d+)_t ([^;]+);", re.MULTILINE)
NAME = re.compile(r"(\w+)(?:\[(\d+)\])?")


def kernel_text(kernel: str) -> str:
    """The C text of a kernel."""
    return files(__package__).joinpath(KERNELS, f"{kernel}.c").read_text(encoding="utf-8")


def check_room(kernel: str, kind: str, fields: Mapping[str, Any], given: str) -> None:
    """ModelError, beginning with ``given``, unless a kernel's struct ``kind`` holds these numbers: C cuts them without a word."""
    for name, count, limits in _integers(kernel, kind):
        value = fields[name]
        numbers = value if isinstance(value, tuple) else (value,)
        lowest, highest = int(limits.min), int(limits.max)
        if len(numbers) != count or not lowest <= min(numbers) <= max(numbers) <= highest:
            raise ModelError(
                given=f"{given} has {name} {value}",
                expected=f"{count} axes at most" if len(numbers) != count else f"{lowest} to {highest}",
                todo="use fewer axes, or smaller windows or tensors there, or choose litert",
            )


def _integers(kernel: str, kind: str) -> Iterator[tuple[str, int, np.iinfo[Any]]]:
    """The integer fields of a struct: the name, how many of them there are, and what one holds."""
    inside = kernel_text(kernel).split(f"struct {kind} {{")[1].split("};")[0]
    for type_name, names in DECLARATION.findall(inside):
        for name, count in NAME.findall(re.sub(r"/\*.*?\*/", "", names)):
            yield name, int(count or 1), np.iinfo(type_name)
