"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galenic.store.stages import Store

StoreOption = Annotated[
    Path,
    typer.Option("--store", envvar="GALENIC_STORE", help="Where stages, checkpoints, the ledger and reports are kept."),
]
DEFAULT_STORE = Path("runs")


def store_at(folder: Path) -> Store:
    """The store in that folder; nothing is written yet."""
    return Store(folder)
