"""What every worker process does: it answers frames (see ``frames``) until its stdin closes.

    strt: what the worker needs  ->  redy: JSON
    load: a file                 ->  redy: JSON
    rows: the rows' bytes        ->  answ: nanoseconds (8 bytes, little-endian), then the answers' bytes
    any of them                  ->  refu: why, as text
The nanoseconds are those in which the file computed; neither the pipe nor what is done around it is in them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from io import BufferedIOBase
from typing import Any, Protocol, cast

import numpy as np

from galenic.record.errors import GalenicError
from galenic.runtimes.frames import ANSWER, LOAD, MOST_TEXT_BYTES, READY, REFUSED, ROWS, START, read_frame, write_frame


class Served(Protocol):
    """A runtime in a worker process."""

    def start(self, order: bytes) -> dict[str, Any]:
        """Import what is needed, and say what is there."""

    def load(self, file: bytes) -> dict[str, Any]:
        """Load a file, and say what it takes and answers."""

    def run(self, rows: bytearray) -> tuple[int, np.ndarray]:
        """Nanoseconds, and the answers to rows."""


def answer_frames(served: Served) -> None:
    """Answer on stdout, and leave with stdin; the whole of a worker's ``main``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the session's process, which then closes this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what C++ prints on stdout must not come between two frames
    try:
        serve(served, cast(BufferedIOBase, sys.stdin.buffer), answers)
    except (EOFError, BrokenPipeError):
        os._exit(0)  # taking a runtime down properly takes longer than anybody waits


def serve(served: Served, orders: BufferedIOBase, answers: BufferedIOBase) -> None:
    """Answer every frame; EOFError after the last one."""
    while True:
        kind, payload = read_frame(orders)
        try:
            reply = _reply(served, kind, payload)
        except Exception as error:  # what C++ throws arrives as one of many classes
            why = str(error) if isinstance(error, GalenicError) else f"{type(error).__name__}: {error}"
            reply = REFUSED, why.encode()[:MOST_TEXT_BYTES]
        write_frame(answers, *reply)


def _reply(served: Served, kind: bytes, payload: bytearray) -> tuple[bytes, bytes]:
    if kind == START:
        return READY, json.dumps(served.start(bytes(payload))).encode()
    if kind == LOAD:
        return READY, json.dumps(served.load(bytes(payload))).encode()
    if kind == ROWS:
        took_ns, found = served.run(payload)
        return ANSWER, took_ns.to_bytes(8, "little") + np.ascontiguousarray(found).tobytes()
    raise ValueError(f"{kind!r} is no order")
