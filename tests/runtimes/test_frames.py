import io

import pytest

from galenic.runtimes.frames import read_frame, write_frame


def test_a_frame_is_kind_length_and_payload():
    stream = io.BytesIO()
    write_frame(stream, b"rows", b"ab", memoryview(b"cde"))
    assert stream.getvalue() == b"rows" + b"\x05\0\0\0\0\0\0\0" + b"abcde"


def test_frames_are_read_one_after_the_other():
    stream = io.BytesIO(b"rows" + b"\x02\0\0\0\0\0\0\0" + b"ab" + b"load" + b"\0" * 8)
    assert read_frame(stream) == (b"rows", b"ab")
    assert read_frame(stream) == (b"load", b"")
    with pytest.raises(EOFError):
        read_frame(stream)


def test_a_frame_in_small_pieces_is_one_frame():
    class Drop(io.BytesIO):
        def readinto(self, buffer):
            return super().readinto(memoryview(buffer)[:1])

    assert read_frame(Drop(b"rows" + b"\x03\0\0\0\0\0\0\0" + b"abc")) == (b"rows", b"abc")


def test_a_frame_that_ends_too_early_is_the_end():
    whole = b"rows" + b"\x03\0\0\0\0\0\0\0" + b"abc"
    for length in range(len(whole)):
        with pytest.raises(EOFError):
            read_frame(io.BytesIO(whole[:length]))


def test_a_frame_that_claims_too_much_is_refused_before_memory_is_set_aside():
    claim = b"rows" + (2**62).to_bytes(8, "little")
    with pytest.raises(ValueError, match=f"a frame of {2**62} bytes where at most 10 are taken"):
        read_frame(io.BytesIO(claim), most_bytes=10)
