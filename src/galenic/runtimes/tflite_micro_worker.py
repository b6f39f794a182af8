"""The process that TFLite Micro runs in: it answers frames (see ``frames``) until its stdin closes.

strt: nothing                      ->  redy: JSON, resident memory in 10^6 bytes
load: the bytes of a .tflite       ->  redy: JSON, its two ends and the arena that it takes
rows: (n, *shape), as the input is ->  answ: nanoseconds (8 bytes, little-endian), then (n, outputs), as the output is
any of them                        ->  refu: why, as text
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from io import BufferedIOBase
from math import prod
from time import perf_counter_ns
from typing import Any, cast

import numpy as np
import psutil

from galenic.record.quiet import streams_gathered
from galenic.runtimes.frames import ANSWER, LOAD, MOST_TEXT_BYTES, READY, REFUSED, ROWS, START, read_frame, write_frame

ARENA_BYTES = 1 << 26
"""More than any microcontroller has; what of it is used is in the answer to ``load``."""
USED = re.compile(r"Arena allocation total (\d+) bytes")


def main() -> None:
    """Answer frames on stdout, and leave with stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(cast(BufferedIOBase, sys.stdin.buffer), answers)
    except (EOFError, BrokenPipeError):
        os._exit(0)


def serve(orders: BufferedIOBase, answers: BufferedIOBase) -> None:
    """Answer every frame; EOFError after the last one."""
    net: Net | None = None
    while True:
        kind, payload = read_frame(orders)
        try:
            if kind == START:
                import tflite_micro  # noqa: F401

                reply = READY, json.dumps({"resident_mb": psutil.Process().memory_info().rss / 1e6}).encode()
            elif kind == LOAD:
                net = Net(bytes(payload))
                reply = READY, json.dumps(net.describe()).encode()
            elif kind == ROWS and net is not None:
                took_ns, outputs = net.run(payload)
                reply = ANSWER, took_ns.to_bytes(8, "little") + outputs.tobytes()
            else:
                raise ValueError(f"{kind!r} is no order, or there is no net yet")
        except Exception as error:  # what C++ throws arrives as one of many classes
            reply = REFUSED, f"{type(error).__name__}: {error}".encode()[:MOST_TEXT_BYTES]
        write_frame(answers, *reply)


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
    main()
