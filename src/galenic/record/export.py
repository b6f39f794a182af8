"""What ``galenic export`` wrote: each file with its size, its integer layers and how near it is to the torch model."""

from __future__ import annotations

from galenic.record.artifact import IntegerOps
from galenic.record.base import Record
from galenic.record.recipe import Recipe
from galenic.record.report import Parity
from galenic.record.web import WebBuild


class ExportedFile(Record):
    """One file.

    Attributes:
        path: inside of the folder that was written.
        runtime: that loads it.
        precision, sha256, size_bytes, integer_ops: as in its Artifact.
        parity: to the torch model, or to the simulation of its integers, on validation; None where the file was not run.
        caveat: what its answers here are not, where this host does not run what the device runs; or why it was not run.
        seconds: what its export took when it was made; None where that was not recorded.
    """

    path: str
    runtime: str
    precision: str
    sha256: str
    size_bytes: int
    integer_ops: IntegerOps | None
    parity: Parity | None
    caveat: str = ""
    seconds: float | None = None


class FailedExport(Record):
    """What could not be made, a runtime's file or the ``page``, and why; the words are those of the error."""

    what: str
    given: str
    expected: str
    todo: str


class ExportResult(Record):
    """The files of one model for one or more runtimes, and its page where one was asked for.

    Attributes:
        name: the recipe's.
        title: what the model was made by.
        split: what its parity was found on.
        files: one for each runtime.
        failed: what was asked for and could not be made.
        page: how the page was made, None where none was asked for or made.
        notes: what a reader has to know.
        recipe: with every choice that was made by measuring.
    """

    name: str
    title: str
    split: str
    files: tuple[ExportedFile, ...]
    failed: tuple[FailedExport, ...] = ()
    page: WebBuild | None = None
    notes: tuple[str, ...] = ()
    recipe: Recipe
