"""The process that PyTorch's lite interpreter runs in: it answers frames (see ``frames``) until its stdin closes.

    strt: JSON, threads and the shape of a row  ->  redy: JSON, resident memory in 10^6 bytes
    load: the bytes of a .ptl                   ->  redy: JSON, shape and type of what it answers to a row of zeros
    rows: (n, *row) float32                     ->  answ: nanoseconds (8 bytes, little-endian), then (n, outputs) float32
    any of them                                 ->  refu: why, as text
A damaged file can crash the interpreter, or compute for ever.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from io import BufferedIOBase
from time import perf_counter_ns
from typing import Any, cast

import numpy as np
import psutil

from galenic.runtimes.frames import ANSWER, LOAD, MOST_TEXT_BYTES, READY, REFUSED, ROWS, START, read_frame, write_frame


def main() -> None:
    """Answer frames on stdout, and leave with stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the session's process, which then closes this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what C++ prints on stdout must not come between two frames
    try:
        serve(cast(BufferedIOBase, sys.stdin.buffer), answers)
    except (EOFError, BrokenPipeError):
        os._exit(0)  # taking torch down properly takes longer than anybody waits


def serve(orders: BufferedIOBase, answers: BufferedIOBase) -> None:
    """Answer every frame; EOFError after the last one."""
    row: Sequence[int] = ()
    net: Net | None = None
    while True:
        kind, payload = read_frame(orders)
        try:
            if kind == START:
                wanted = json.loads(payload)
                row = wanted["row"]
                reply = READY, json.dumps(start(wanted["threads"])).encode()
            elif kind == LOAD:
                net = Net(bytes(payload), row)
                reply = READY, json.dumps(net.describe()).encode()
            elif kind == ROWS and net is not None:
                took_ns, logits = net.run(payload)
                reply = ANSWER, took_ns.to_bytes(8, "little") + logits.tobytes()
            else:
                raise ValueError(f"{kind!r} is no order, or there is no net yet")
        except Exception as error:  # what C++ throws arrives as one of many classes
            reply = REFUSED, f"{type(error).__name__}: {error}".encode()[:MOST_TEXT_BYTES]
        write_frame(answers, *reply)


def start(threads: int) -> dict[str, float]:
    """Torch with so many threads; resident memory then."""
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    return {"resident_mb": psutil.Process().memory_info().rss / 1e6}


class Net:
    """A .ptl file in the lite interpreter; ``row`` is the shape of what it takes."""

    def __init__(self, data: bytes, row: Sequence[int]) -> None:
        import torch

        self._row = row
        native: Any = torch._C
        self._module = native._load_for_lite_interpreter_from_buffer(data, None)

    def describe(self) -> dict[str, Any]:
        """Shape and type of what it answers to one row of zeros."""
        found = self._answer(np.zeros((1, *self._row), np.float32))
        return {"shape": list(found.shape), "type": str(found.dtype).removeprefix("torch.")}

    def run(self, payload: bytearray) -> tuple[int, np.ndarray]:
        """Nanoseconds in the interpreter, and the (n, outputs) float32 logits of (n, *row) float32 rows."""
        rows = np.frombuffer(payload, np.float32).reshape(-1, *self._row)
        begin = perf_counter_ns()
        logits: np.ndarray = self._answer(rows).numpy()
        return perf_counter_ns() - begin, logits

    def _answer(self, rows: np.ndarray) -> Any:
        import torch

        with torch.inference_mode():
            found = self._module.forward((torch.from_numpy(rows),))
        if not isinstance(found, torch.Tensor):
            raise ValueError(f"it answers a {type(found).__name__} where one tensor is expected")
        return found


if __name__ == "__main__":
    main()
