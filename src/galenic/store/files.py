"""Files that are there whole or not at all (write aside, fsync, rename, fsync the folder), and locks between processes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from galenic.record.errors import StoreError


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in ``path``'s place in one step.

    A kill or a full disk at any moment leaves what was at ``path`` before. ``durable`` also waits until the disk has it,
    so that a power cut does; what can be made again (a checkpoint of every epoch) need not wait for that.

    Raises:
        StoreError: the disk is full, read-only or otherwise refuses.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        aside = Path(name)
        try:
            write(aside)
            if durable:
                _flush(aside)
            aside.chmod(0o644)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        if durable:
            _flush(path.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """``write_atomic`` for bytes in memory."""
    write_atomic(path, lambda aside: aside.write_bytes(data))


def write_text(path: Path, text: str) -> None:
    """``write_atomic`` for UTF-8 text in memory."""
    write_bytes(path, text.encode())


@contextmanager
def locked(path: Path, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold the lock file ``path``; ``waiting`` is called where another process holds it and this one has to wait.

    The operating system gives the lock back when its holder ends, however it ends.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal while writing ``path`` into a StoreError."""
    try:
        yield
    except OSError as error:
        todo = {
            errno.ENOSPC: "free some space on that disk and run the same command again: it goes on from there",
            errno.EDQUOT: "free some of your quota and run the same command again: it goes on from there",
            errno.EROFS: "choose a writable folder with --store",
            errno.EACCES: "choose a folder that you may write to with --store",
            errno.EPERM: "choose a folder that you may write to with --store",
        }.get(error.errno or 0, "check that disk, then run the same command again")
        raise StoreError(
            given=f"{path} could not be written ({error.strerror or error})",
            expected="a disk that takes the whole file; what was there before is unchanged",
            todo=todo,
        ) from error
