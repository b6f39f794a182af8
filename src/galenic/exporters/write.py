"""Writing a file whole or not at all: aside, fsync, rename."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from galenic.record.errors import StoreError


def write_whole(path: Path, data: bytes) -> str:
    """Put ``data`` at ``path`` in one step; gives its sha256. A kill or a full disk leaves what was there before.

    Raises:
        StoreError: the disk is full, read-only or otherwise refuses.
    """
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        aside = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)
        aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            given=f"{path} could not be written ({error.strerror or error})",
            expected=f"a disk that takes its {len(data)} bytes; what was there before is unchanged",
            todo="free some space there or choose another folder, then run the same command again",
        ) from error
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)
    return hashlib.sha256(data).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the new name itself last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
