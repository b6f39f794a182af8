"""The process that TFLite Micro runs in (see ``serving``).

strt: nothing                      ->  JSON, resident memory in 10^6 bytes
load: the bytes of a .tflite       ->  JSON, its two ends and the arena that it takes
rows: (n, *shape), as the input is ->  (n, outputs), as the output is
"""

from __future__ import annotations

import re
from math import prod
from time import perf_counter_ns
from typing import Any

import numpy as np
import psutil

from galenic.record.quiet import streams_gathered
from galenic.runtimes.serving import answer_frames

ARENA_BYTES = 1 << 26
"""More than any microcontroller has; what of it is used is in the answer to ``load``."""
USED = re.compile(r"Arena allocation total (\d+) bytes")


class Micro:
    """The one net that is loaded."""

    def __init__(self) -> None:
        self._net: Net | None = None

    def start(self, order: bytes) -> dict[str, float]:
        """Resident memory once it is imported; there is nothing to order."""
        import tflite_micro  # noqa: F401

        del order
        return {"resident_mb": psutil.Process().memory_info().rss / 1e6}

    def load(self, file: bytes) -> dict[str, Any]:
        """A .tflite; its ends and its arena."""
        self._net = Net(file)
        return self._net.describe()

    def run(self, rows: bytearray) -> tuple[int, np.ndarray]:
        """As ``Net.run``."""
        if self._net is None:
            raise ValueError("there is no net yet")
        return self._net.run(rows)


class Net:
    """A file in TFLite Micro's interpreter."""

    def __init__(self, data: bytes) -> None:
        from tflite_micro.python.tflite_micro import runtime

        try:
            with streams_gathered() as said:
                self._interpreter = runtime.Interpreter.from_bytes(data, arena_size=ARENA_BYTES)
        except RuntimeError as error:
            raise ValueError("; ".join(line for line in said if line.strip())[:300] or str(error)) from error
        self._entry = self._interpreter.get_input_details(0)
        self._shape = tuple(int(side) for side in self._entry["shape"])

    def describe(self) -> dict[str, Any]:
        """Shape, type and grid of both ends, and the bytes of the arena, which one run finds out."""
        self._interpreter.set_input(np.zeros(self._shape, self._entry["dtype"]), 0)
        self._interpreter.invoke()
        with streams_gathered() as said:
            self._interpreter.print_allocations()
        found = next((match for line in said if (match := USED.search(line))), None)
        if found is None:
            raise ValueError("TFLite Micro does not say what arena it takes")
        ends = {"input": _end(self._entry), "output": _end(self._interpreter.get_output_details(0))}
        return ends | {"arena_bytes": int(found.group(1))}

    def run(self, payload: bytes | bytearray) -> tuple[int, np.ndarray]:
        """Nanoseconds in the interpreter, and the answers of all rows."""
        rows = np.frombuffer(payload, self._entry["dtype"]).reshape(-1, *self._shape)
        answers, took_ns = [], 0
        for row in rows:
            self._interpreter.set_input(row, 0)
            begin = perf_counter_ns()
            self._interpreter.invoke()
            took_ns += perf_counter_ns() - begin
            answers.append(self._interpreter.get_output(0).reshape(1, -1))
        return took_ns, np.concatenate(answers)


def _end(details: dict[str, Any]) -> dict[str, Any]:
    grid = details["quantization_parameters"]
    shape = [int(side) for side in details["shape"]]
    scale, zero = (list(grid[name]) for name in ("scales", "zero_points"))
    return {
        "shape": shape,
        "values": prod(shape),
        "type": np.dtype(details["dtype"]).name,
        "scale": float(scale[0]) if scale else 0.0,
        "zero": int(zero[0]) if zero else 0,
    }


if __name__ == "__main__":
    answer_frames(Micro())
