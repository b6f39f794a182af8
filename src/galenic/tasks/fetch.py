"""Downloads of published files: through pooch, checked by their published hash, into a cache folder, with progress.

Nothing is fetched unless a task that needs it is loaded. A file whose hash differs never enters the cache.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from galenic.record.errors import DataError, MissingPackage

_TIMEOUT_S = 60


def cache_folder(given: Path | None) -> Path:
    """The option, else GALENIC_DATA, else ~/.cache/galenic."""
    return (given or Path(os.environ.get("GALENIC_DATA") or "~/.cache/galenic")).expanduser()


def fetch(url: str, known_hash: str, name: str, folder: Path) -> Path:
    """The path of ``name`` in ``folder``, downloaded where it is not there yet.

    Args:
        url: the published address.
        known_hash: ``md5:...`` or ``sha256:...``.
        name: the file's name in the cache.
        folder: the cache.
    """
    try:
        import pooch
    except ImportError as error:
        raise MissingPackage(
            "pooch is not installed", "pooch, for downloads", "pip install 'galenic[forge]'"
        ) from error
    pooch.get_logger().setLevel("ERROR")
    bar = _Bar(name)
    downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=_TIMEOUT_S)
    try:
        return Path(pooch.retrieve(url, known_hash, fname=name, path=folder, downloader=downloader))
    except ValueError as error:
        raise DataError(
            f"{url}: what came is not the published file (its hash differs from {known_hash}); it was not kept",
            "the file as published",
            "try again later, or download it by hand and give its path with the option path",
        ) from error
    except OSError as error:
        raise DataError(
            f"{url}: could not be downloaded into {folder} ({_short(error)})",
            "a reachable address and a folder that can be written",
            "check the network, or download the file by hand and give it with the option path",
        ) from error
    finally:
        bar.close()


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."


class _Bar:
    """pooch's progress protocol (total, update, reset, close) on rich; quiet where nobody watches."""

    def __init__(self, name: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, disable=not sys.stderr.isatty())
        self._task = self._progress.add_task(name, total=None)
        self._progress.start()

    @property
    def total(self) -> float | None:
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, size_bytes: int) -> None:
        self._progress.update(self._task, total=size_bytes or None)

    def update(self, size_bytes: int) -> None:
        self._progress.update(self._task, advance=size_bytes)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()
