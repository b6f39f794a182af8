"""Quiet: what foreign libraries write past Python to this process's own streams, gathered instead of shown."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT, STDERR = 1, 2


@contextmanager
def streams_gathered() -> Iterator[list[str]]:
    """Keep what C++ code writes to stdout and stderr meanwhile; the list holds its lines once the block is left.

    The two file descriptors belong to the whole process, so another thread's lines are gathered as well: keep it short.
    """
    lines: list[str] = []
    _flush()
    with tempfile.TemporaryFile() as file:
        before = [(end, os.dup(end)) for end in (STDOUT, STDERR)]
        try:
            for end, _ in before:
                os.dup2(file.fileno(), end)
            yield lines
        finally:
            _flush()
            for end, kept in before:
                os.dup2(kept, end)
                os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """What is imported inside does not find ``package``: for libraries that report to somebody where they find it."""
    known = sys.modules.get(package)
    sys.modules[package] = None  # type: ignore[assignment]  # Python's own way to make an import fail
    try:
        yield
    finally:
        del sys.modules[package]
        if known is not None:
            sys.modules[package] = known
