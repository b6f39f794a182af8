"""Exporter: what galenic knows about one of them before it is asked to write a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from galenic.record.artifact import Artifact
from galenic.record.quant import QuantRule


@dataclass(frozen=True)
class Exporter:
    """One way to a runtime's file.

    Attributes:
        runtime: the name of the runtime that loads the file.
        suffix: of the file.
        version: raised when the same model would give another file; it enters the hashes of stages.
        summary: one line for people.
        export: ``export(model, path, *, preprocessing, classes, calibration) -> Artifact``.
        check_rule: raises ModelError where the runtime cannot hold a quantization, before any work starts.
    """

    runtime: str
    suffix: str
    version: int
    summary: str
    export: Callable[..., Artifact]
    check_rule: Callable[[QuantRule], None]
