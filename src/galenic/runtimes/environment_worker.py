"""The process of another environment's interpreter that a file runs in: it answers frames (see ``frames``) until its stdin closes.

    strt: a runtime's name                    ->  redy: JSON, resident memory in 10^6 bytes when it is imported
    load: JSON, artifact, threads and device  ->  redy: JSON, the Place
    rows: (n, *row), as the artifact's inputs ->  answ: nanoseconds (8 bytes, little-endian), then (n, classes) float32
    any of them                               ->  refu: why, as text
The runtime is loaded as it would be without an environment of its own: this process is the one that has it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from io import BufferedIOBase
from time import perf_counter_ns
from typing import cast

import numpy as np
import psutil

from galenic.record.artifact import Artifact
from galenic.record.session import Session
from galenic.runtimes.frames import ANSWER, LOAD, MOST_TEXT_BYTES, READY, REFUSED, ROWS, START, read_frame, write_frame
from galenic.runtimes.load import runtime_named


def main() -> None:
    """Answer frames on stdout, and leave with stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the session's process, which then closes this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a runtime prints on stdout must not come between two frames
    try:
        serve(cast(BufferedIOBase, sys.stdin.buffer), answers)
    except (EOFError, BrokenPipeError):
        os._exit(0)


def serve(orders: BufferedIOBase, answers: BufferedIOBase) -> None:
    """Answer every frame; EOFError after the last one."""
    session: Session | None = None
    while True:
        kind, payload = read_frame(orders)
        try:
            if kind == START:
                runtime_named(payload.decode()).imported()
                reply = READY, json.dumps({"resident_mb": psutil.Process().memory_info().rss / 1e6}).encode()
            elif kind == LOAD:
                session = opened(payload)
                reply = READY, session.place.model_dump_json().encode()
            elif kind == ROWS and session is not None:
                reply = ANSWER, answered(session, payload)
            else:
                raise ValueError(f"{kind!r} is no order, or there is no file yet")
        except Exception as error:  # runtimes raise what they like
            reply = REFUSED, (str(error) or type(error).__name__).encode()[:MOST_TEXT_BYTES]
        write_frame(answers, *reply)


def opened(order: bytearray) -> Session:
    """The Session that a LOAD asks for, in this process."""
    wanted = json.loads(order)
    artifact = Artifact.model_validate(wanted["artifact"])
    runtime = runtime_named(artifact.runtime)
    return (runtime.here or runtime.load)(artifact, threads=wanted["threads"], device=wanted["device"])


def answered(session: Session, payload: bytearray) -> bytes:
    """How long it took, and the logits."""
    preprocessing = session.artifact.preprocessing
    rows = np.frombuffer(payload, preprocessing.input_type).reshape(-1, *preprocessing.input_shape)
    begin = perf_counter_ns()
    logits = session.run(rows)
    took_ns = perf_counter_ns() - begin
    return took_ns.to_bytes(8, "little") + np.ascontiguousarray(logits, np.float32).tobytes()


if __name__ == "__main__":
    main()
