"""Runtime: what galenic knows about one of them before it is asked to load a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from galenic.record.errors import MissingPackage
from galenic.record.session import Session


@dataclass(frozen=True)
class Runtime:
    """One runtime.

    Attributes:
        name: as an Artifact and a recipe call it.
        suffixes: of the files that it loads.
        package: what Python imports; the runtime is available where it is installed.
        install: the one command that installs it.
        summary: one line for people.
        load: ``load(artifact, *, threads, device) -> Session``; the device is ``cpu``, ``gpu``, or the runtime's own name of one.
        importing: imports the package, where a plain import is not what is wanted.
        caveat: what its answers here are not, where it is not what the device runs; its Sessions' places say it too.
    """

    name: str
    suffixes: tuple[str, ...]
    package: str
    install: str
    summary: str
    load: Callable[..., Session]
    importing: Callable[[], object] | None = None
    caveat: str = ""

    @property
    def available(self) -> bool:
        """Whether the package is installed here."""
        return find_spec(self.package) is not None

    def require(self) -> None:
        """MissingPackage with the command that installs it, where it is not installed."""
        if not self.available:
            raise MissingPackage(
                given=f"the runtime {self.name}, which is not installed here",
                expected=f"the Python package {self.package}",
                todo=f"run: {self.install}",
            )

    def imported(self) -> None:
        """Import the package as ``load`` does, without a file."""
        if self.importing is None:
            import_module(self.package)
        else:
            self.importing()
