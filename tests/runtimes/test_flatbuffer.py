"""The reader against Python's own flatbuffers package, and on bytes that are no buffer."""

from __future__ import annotations

import flatbuffers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_tflite import dense
from galenic.runtimes.flatbuffer import root_table

FILE = dense()


def small(numbers: list[int], text: str) -> bytes:
    """A table of a 64-bit number, a string, a vector of tables (each with one number) and a field that is left out."""
    builder = flatbuffers.Builder(0)
    word = builder.CreateString(text)
    tables = []
    for number in numbers:
        builder.StartObject(1)
        builder.PrependUint32Slot(0, number, 0)
        tables.append(builder.EndObject())
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    vector = builder.EndVector()
    builder.StartObject(4)
    builder.PrependUint64Slot(0, 2**40 + len(numbers), 0)
    builder.PrependUOffsetTRelativeSlot(1, word, 0)
    builder.PrependUOffsetTRelativeSlot(2, vector, 0)
    builder.Finish(builder.EndObject(), b"TEST")
    return bytes(builder.Output())


@given(st.lists(st.integers(0, 2**32 - 1), max_size=5), st.text(max_size=9))
@settings(deadline=None)
def test_it_reads_what_the_package_wrote(numbers: list[int], text: str) -> None:
    table = root_table(small(numbers, text), b"TEST")
    assert table.number(0, "<Q") == 2**40 + len(numbers)
    assert bytes(table.octets(1)).decode() == text
    assert [one.number(0) for one in table.tables(2)] == numbers
    assert (table.number(3), table.table(3), table.tables(3), bytes(table.octets(3))) == (0, None, [], b"")
    assert table.number(40) == 0, "a field that an older schema does not have"


def test_a_table_in_a_table() -> None:
    graph = root_table(FILE, b"TFL3").tables(2)[0]
    assert [bytes(one.octets(3)) for one in graph.tables(0)] == [b"input", b"weights", b"bias", b"logits"]


def test_another_format_is_refused() -> None:
    for data in (b"", b"TFL3", FILE[:7], FILE[:4] + b"TFL4" + FILE[8:]):
        with pytest.raises(ValueError, match="not a file of the format TFL3"):
            root_table(data, b"TFL3")


@given(at=st.integers(0, len(FILE) - 1), byte=st.integers(0, 255), end=st.integers(8, len(FILE)))
@settings(deadline=None, max_examples=300)
def test_a_damaged_buffer_is_read_or_refused_and_nothing_else(at: int, byte: int, end: int) -> None:
    data = bytearray(FILE)
    data[at] = byte
    found: list[bytes] = []
    try:
        model = root_table(bytes(data[:end]), b"TFL3")
        found = [bytes(entry.octets(0) or b"") for entry in model.tables(4)]
    except ValueError:
        found = []
    assert all(one in bytes(data) for one in found)
