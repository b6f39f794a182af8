"""A FlatBuffer read by hand, with bounds checked: what is asked for is found without the schema's package, or a ValueError.

    table    its place holds the distance back to a vtable: [bytes of it, bytes of the table, place of field 0, of field 1, ...]
    vector   a count, then the elements: numbers in place, tables and strings as distances forward
The format is https://flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER_BYTES = 4  # of a vtable: its own size and that of the table
OFFSET_BYTES = 4


@dataclass(frozen=True)
class Table:
    """One table of a buffer.

    Attributes:
        data: the whole buffer.
        at: where the table begins.
    """

    data: memoryview
    at: int

    def number(self, field: int, form: str = "<I") -> int:
        """A number in the table, in ``struct``'s ``form``; 0 where it is left out."""
        place = self._place(field)
        return 0 if place is None else _read(self.data, place, form)

    def table(self, field: int) -> Table | None:
        """The table of a field."""
        place = self._place(field)
        return None if place is None else Table(self.data, _forward(self.data, place))

    def tables(self, field: int) -> list[Table]:
        """The tables of a field that holds a vector of them; none where it is left out."""
        start, count = self._vector(field, OFFSET_BYTES)
        places = range(start, start + count * OFFSET_BYTES, OFFSET_BYTES)
        return [Table(self.data, _forward(self.data, place)) for place in places]

    def octets(self, field: int) -> memoryview:
        """The bytes of a field that holds a vector of them or a string."""
        start, count = self._vector(field, 1)
        return self.data[start : start + count]

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Where the elements begin, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        at = _forward(self.data, place)
        count = _read(self.data, at, "<I")
        if at + OFFSET_BYTES + count * size > len(self.data):
            raise ValueError("a vector that ends after its buffer")
        return at + OFFSET_BYTES, count

    def _place(self, field: int) -> int | None:
        vtable = self.at - _read(self.data, self.at, "<i")
        at = HEADER_BYTES + 2 * field
        if at >= _read(self.data, vtable, "<H"):
            return None
        place = _read(self.data, vtable + at, "<H")
        return self.at + place if place else None


def root_table(data: bytes | memoryview, identifier: bytes) -> Table:
    """The first table of a buffer; ValueError unless it has the format's four-byte identifier."""
    view = memoryview(data)
    if bytes(view[OFFSET_BYTES : OFFSET_BYTES + len(identifier)]) != identifier:
        raise ValueError(f"not a file of the format {identifier.decode()}")
    return Table(view, _forward(view, 0))


def _forward(data: memoryview, place: int) -> int:
    return place + _read(data, place, "<I")


def _read(data: memoryview, place: int, form: str) -> int:
    if not 0 <= place <= len(data) - struct.calcsize(form):
        raise ValueError("a place outside of the buffer")
    (value,) = struct.unpack_from(form, data, place)
    return int(value)
