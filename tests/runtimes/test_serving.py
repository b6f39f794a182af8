import io
import json
from typing import Any

import numpy as np
import pytest

from galenic.record.errors import ModelError
from galenic.runtimes.frames import ANSWER, LOAD, READY, REFUSED, ROWS, START, read_frame, write_frame
from galenic.runtimes.serving import serve


class Doubling:
    """Answers twice what it is given; it has taken 7 ns."""

    def start(self, order: bytes) -> dict[str, Any]:
        return {"said": order.decode()}

    def load(self, file: bytes) -> dict[str, Any]:
        if file == b"ours":
            raise ModelError("a file", "another", "take that")
        raise RuntimeError("it is broken")

    def run(self, rows: bytearray) -> tuple[int, np.ndarray]:
        return 7, np.frombuffer(rows, np.float32)[::-1] * 2


def answers_to(*orders: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    asked, answered = io.BytesIO(), io.BytesIO()
    for order in orders:
        write_frame(asked, *order)
    asked.seek(0)
    with pytest.raises(EOFError):
        serve(Doubling(), asked, answered)
    answered.seek(0)
    frames = [read_frame(answered) for _ in orders]
    assert answered.read() == b""
    return [(kind, bytes(payload)) for kind, payload in frames]


def test_a_start_is_answered_as_json():
    ((kind, payload),) = answers_to((START, b"two threads"))
    assert (kind, json.loads(payload)) == (READY, {"said": "two threads"})


def test_rows_are_answered_with_nanoseconds_and_contiguous_bytes():
    ((kind, payload),) = answers_to((ROWS, np.array([1.0, 2.5], np.float32).tobytes()))
    assert kind == ANSWER
    assert int.from_bytes(payload[:8], "little") == 7
    assert np.frombuffer(payload, np.float32, offset=8).tolist() == [5.0, 2.0]


def test_what_is_refused_is_said_and_the_next_frame_is_answered():
    ours, theirs, unknown, after = answers_to((LOAD, b"ours"), (LOAD, b"x"), (b"what", b""), (START, b"on"))
    assert ours == (REFUSED, str(ModelError("a file", "another", "take that")).encode())
    assert theirs == (REFUSED, b"RuntimeError: it is broken")
    assert unknown == (REFUSED, b"ValueError: b'what' is no order")
    assert after[0] == READY
