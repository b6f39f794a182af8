"""All sources of data, and the one function that loads a task from its source string."""

from __future__ import annotations

from typing import Any

from galenic.record.errors import InputError
from galenic.record.task import Task
from galenic.tasks.build import build_task
from galenic.tasks.cifar10 import CIFAR10
from galenic.tasks.dicom import DICOM
from galenic.tasks.folder import FOLDER
from galenic.tasks.lesions import LESIONS
from galenic.tasks.medmnist import MEDMNIST
from galenic.tasks.mnist import MNIST
from galenic.tasks.npz import NPZ
from galenic.tasks.overlap import OverlapRule
from galenic.tasks.rhythm import RHYTHM
from galenic.tasks.signals import SIGNALS
from galenic.tasks.sklearn_tables import DIGITS, WISCONSIN
from galenic.tasks.source import Source, unknown_name
from galenic.tasks.text import TEXT
from galenic.tasks.transfer import with_transfer
from galenic.tasks.wfdb import WFDB

SOURCES: tuple[Source, ...] = (
    LESIONS,
    RHYTHM,
    DIGITS,
    WISCONSIN,
    MNIST,
    CIFAR10,
    MEDMNIST,
    NPZ,
    FOLDER,
    DICOM,
    SIGNALS,
    WFDB,
    TEXT,
)


def load_task(source: str, *, overlap: str = "refuse", transfer: str | None = None, **options: Any) -> Task:
    """Load a task.

    Args:
        source: such as ``lesions``, ``npz:breast.npz`` or ``medmnist:retinamnist@64``; `galenic tasks` lists them.
        overlap: ``refuse`` a task whose rows stand on two sides of a split, or ``drop-train`` those rows.
        transfer: rows without labels for distillation, ``npz:PATH`` or ``folder:PATH`` (``transfer.py``).
        **options: of the source.

    Raises:
        InputError: the source, an option or ``overlap`` is misspelt.
        DataError: the data cannot be used; it names the file, the split and the row.
    """
    found, argument = find_source(source)
    rules = tuple(rule.value for rule in OverlapRule)
    if overlap not in rules:
        raise unknown_name("overlap", overlap, rules)
    typed = found.parse(options)
    task = build_task(found.load(argument, typed), source, OverlapRule(overlap), typed)
    return task if transfer is None else with_transfer(task, transfer, OverlapRule(overlap), typed)


def find_source(source: str) -> tuple[Source, str]:
    """The source of ``prefix:argument``, and the argument."""
    prefix, colon, argument = source.partition(":")
    found = next((entry for entry in SOURCES if entry.prefix == prefix), None)
    if found is None:
        raise unknown_name("task", prefix, tuple(entry.prefix for entry in SOURCES))
    if found.argument and not argument:
        raise InputError(f"task {source!r}", found.form, f"write what {found.argument} stands for after the colon")
    if colon and not found.argument:
        raise InputError(f"task {source!r}", found.form, "leave out the colon; a local file goes into the option path")
    return found, argument
