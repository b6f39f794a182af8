"""What goes through the pipe between a session and its worker process: frames of bytes, never a pickle.

    frame = kind (4 ASCII bytes), length of the payload (8 bytes, little-endian), payload

A reader says how long a payload it takes, and one that claims to be longer is refused before memory is set aside for it.
"""

from __future__ import annotations

import struct
from io import BufferedIOBase

HEADER = struct.Struct("<4sQ")
START, LOAD, ROWS = b"strt", b"load", b"rows"
READY, ANSWER, REFUSED = b"redy", b"answ", b"refu"
MOST_BYTES = 2**40
MOST_TEXT_BYTES = 2**16
"""Of a READY's JSON, or of the reason in a REFUSED."""


def write_frame(stream: BufferedIOBase, kind: bytes, *parts: bytes | memoryview) -> None:
    """One frame whose payload is ``parts`` one after the other; OSError where nobody reads any more."""
    stream.write(HEADER.pack(kind, sum(len(part) for part in parts)))
    for part in parts:
        stream.write(part)
    stream.flush()


def read_frame(stream: BufferedIOBase, most_bytes: int = MOST_BYTES) -> tuple[bytes, bytearray]:
    """The kind and the payload of the next frame.

    Raises:
        EOFError: the other side closed the pipe, between two frames or within one.
        ValueError: the payload is longer than ``most_bytes``.
    """
    kind, length = HEADER.unpack(_exactly(stream, HEADER.size))
    if length > most_bytes:
        raise ValueError(f"a frame of {length} bytes where at most {most_bytes} are taken")
    return kind, _exactly(stream, length)


def _exactly(stream: BufferedIOBase, length: int) -> bytearray:
    data = bytearray(length)
    at = 0
    while at < length:
        got = stream.readinto(memoryview(data)[at:])
        if not got:
            raise EOFError("the other side closed the pipe")
        at += got
    return data
