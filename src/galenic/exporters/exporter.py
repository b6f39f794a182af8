"""Exporter: what galenic knows about one of them before it is asked to write a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from galenic.record.artifact import Artifact
from galenic.record.errors import MissingPackage
from galenic.record.quant import QuantRule


@dataclass(frozen=True)
class Exporter:
    """One way to a runtime's file.

    Attributes:
        runtime: the name of the runtime that loads the file.
        suffix: of the file.
        version: raised when the same model would give another file; it enters the hashes of stages.
        summary: one line for people.
        export: ``export(model, path, *, preprocessing, classes) -> Artifact``.
        check_rule: raises ModelError where the runtime cannot hold a quantization, before any work starts.
        packages: the distributions whose versions decide the file's bytes; they enter the hashes of stages.
        needs: what Python imports for it beside ``galenic[forge]``.
        install: the one command that installs that.
        text: whether it takes nets that read token ids.
    """

    runtime: str
    suffix: str
    version: int
    summary: str
    export: Callable[..., Artifact]
    check_rule: Callable[[QuantRule], None]
    packages: tuple[str, ...]
    needs: tuple[str, ...] = ()
    install: str = ""
    text: bool = True

    def require(self) -> None:
        """MissingPackage with the command that installs it, where something that it needs is not installed."""
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            raise MissingPackage(
                given=f"files for {self.runtime}, whose converter is not installed here",
                expected=f"the Python package{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
                todo=f"run: {self.install}",
            )
