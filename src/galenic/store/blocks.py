"""An array of float32 in one file that is filled block by block, by any number of processes, and checks itself.

    head         a line that names the format, then a line of JSON: what the array is, its shape and the rows of a block
    checksums    (parts, blocks) of 16 bytes, zero where a block is not there yet
    values       (parts, rows, *item) float32, little endian
A block is written before its checksum, so a kill at any moment leaves blocks that are whole and blocks that are seen not to
be. The same goes for a power cut: nothing is flushed, since what the disk lost does not match its checksum. The file is sparse,
and it is only ever written through ``pwrite``: a full disk is an error there, where through a memory map it is a dead process.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from galenic.store.files import locked, storing, write_atomic

FORMAT = b"galenic blocks 1\n"
CHECKSUM_BYTES = 16
NOT_THERE = bytes(CHECKSUM_BYTES)
VALUE = np.dtype("<f4")
ALIGNMENT = 4096
"""Where values may start, so that a memory map of a part has no odd offset within a page."""


class Fault(StrEnum):
    """Why a file cannot be read as the array that is wanted."""

    ABSENT = "it was not there"
    OTHER = "it held another array, or its head was damaged"
    LENGTH = "it was cut short or has grown"


class Unsound(NamedTuple):
    """The blocks of a part that cannot be used, in order: those never written, and those that their checksum denies."""

    missing: tuple[int, ...]
    damaged: tuple[int, ...]

    @property
    def blocks(self) -> tuple[int, ...]:
        """All of them."""
        return tuple(sorted(self.missing + self.damaged))


class BlockFile:
    """The array in ``path``.

    Args:
        path: of the file; a lock file lies beside it.
        about: what the array is, any JSON value. A file that says otherwise is another array under this name.
        shape: (parts, rows, *item).
        block_rows: how many rows are written at once; the last block of a part may have fewer.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], shape: Sequence[int], block_rows: int) -> None:
        self.path, self.shape, self.block_rows = path, tuple(shape), block_rows
        self._about = {**about, "shape": self.shape, "block_rows": block_rows}
        self._head = FORMAT + json.dumps(self._about, sort_keys=True).encode() + b"\n"
        self._blocks = math.ceil(self.shape[1] / block_rows)
        checksums = self.shape[0] * self._blocks * CHECKSUM_BYTES
        self._values_at = math.ceil((len(self._head) + checksums) / ALIGNMENT) * ALIGNMENT
        self._row_bytes = VALUE.itemsize * math.prod(self.shape[2:])
        self._size = self._values_at + math.prod(self.shape[:2]) * self._row_bytes

    @property
    def size_bytes(self) -> int:
        """Of the values."""
        return self._size - self._values_at

    @contextmanager
    def held(self, waiting: Callable[[], object] | None = None) -> Iterator[None]:
        """No other process writes meanwhile; ``waiting`` is called where one does and has to be waited for."""
        with locked(self.path.with_name(f"{self.path.name}.lock"), waiting):
            yield

    def fault(self) -> Fault | None:
        """Why the file cannot be read as this array, or None where it can."""
        if not self.path.exists():
            return Fault.ABSENT
        with storing(self.path), self.path.open("rb") as file:
            head, size = file.read(len(self._head)), os.fstat(file.fileno()).st_size
        if head != self._head[: len(head)]:
            return Fault.OTHER
        return None if size == self._size else Fault.LENGTH

    def mend(self) -> Fault | None:
        """Make the file readable, keeping what it holds where it is this array, and return what was wrong. Needs ``held``."""
        fault = self.fault()
        if fault is Fault.LENGTH:
            with storing(self.path), self.path.open("r+b") as file:
                file.write(self._head)
                file.truncate(self._size)
        elif fault is not None:
            write_atomic(self.path, self._write_empty, durable=False)
        return fault

    def part(self, index: int, *, mapped: bool) -> np.ndarray:
        """One part, (rows, *item), read-only: from the disk as needed where ``mapped``, otherwise a copy in memory.

        The file has no ``fault``.
        """
        shape, start = self.shape[1:], self._values_at + index * self.shape[1] * self._row_bytes
        if mapped:
            return np.asarray(np.memmap(self.path, VALUE, "r", start, shape))
        values = np.fromfile(self.path, VALUE, math.prod(shape), offset=start).reshape(shape)
        values.flags.writeable = False
        return values

    def unsound(self, index: int, values: np.ndarray) -> Unsound:
        """Which blocks of a part, read as ``values``, are missing or damaged."""
        with self.path.open("rb") as file:
            file.seek(self._checksum_at(index, 0))
            stored = file.read(self._blocks * CHECKSUM_BYTES)
        missing, damaged = list[int](), list[int]()
        for block in range(self._blocks):
            expected = stored[block * CHECKSUM_BYTES : (block + 1) * CHECKSUM_BYTES]
            if expected == NOT_THERE:
                missing.append(block)
            elif expected != _checksum(values[self.rows(block)]):
                damaged.append(block)
        return Unsound(tuple(missing), tuple(damaged))

    def rows(self, block: int) -> slice:
        """The rows of a block."""
        return slice(block * self.block_rows, min((block + 1) * self.block_rows, self.shape[1]))

    def write(self, index: int, block: int, values: np.ndarray) -> None:
        """Write one block of a part. Needs ``held``; StoreError where the disk refuses, which loses no other block."""
        data = np.ascontiguousarray(values, dtype=VALUE)
        row = index * self.shape[1] + block * self.block_rows
        with storing(self.path), self.path.open("r+b", buffering=0) as file:
            _write_at(file.fileno(), data.tobytes(), self._values_at + row * self._row_bytes)
            _write_at(file.fileno(), _checksum(data), self._checksum_at(index, block))

    def _checksum_at(self, index: int, block: int) -> int:
        return len(self._head) + (index * self._blocks + block) * CHECKSUM_BYTES

    def _write_empty(self, path: Path) -> None:
        with path.open("wb") as file:
            file.write(self._head)
            file.truncate(self._size)


def _checksum(values: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(values).data, digest_size=CHECKSUM_BYTES).digest()


def _write_at(handle: int, data: bytes, offset: int) -> None:
    """``pwrite`` may take less than all."""
    while data:
        done = os.pwrite(handle, data, offset)
        data, offset = data[done:], offset + done
