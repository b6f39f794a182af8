"""Where the npm packages of the page lie on this machine, and fetching them; torch is not needed for it."""

from __future__ import annotations

from pathlib import Path

from galenic.publish.web.packages import fetch_packages
from galenic.record.progress import Progress
from galenic.tasks.fetch import cache_folder


def web_cache() -> Path:
    """``GALENIC_DATA``, else ``~/.cache/galenic``, and ``web`` in it."""
    return cache_folder(None) / "web"


def setup_web(progress: Progress) -> Path:
    """Fetch the npm packages of the page; this uses the network. InputError or MissingPackage where that fails."""
    return fetch_packages(web_cache(), progress)
