"""Tasks: one file per source of data, all loaded by ``load_task``. Yields numpy; no torch."""

from galenic.tasks.load import SOURCES as SOURCES
from galenic.tasks.load import load_task as load_task
from galenic.tasks.source import Source as Source
