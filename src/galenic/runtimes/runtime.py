"""Runtime: what galenic knows about one of them before it is asked to load a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from shutil import which

from galenic.record.bench import OpTimes
from galenic.record.errors import MissingPackage
from galenic.record.session import Session
from galenic.runtimes.check import CPU

NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Runtime:
    """One runtime.

    Attributes:
        name: as an Artifact and a recipe call it.
        suffixes: of the files that it loads.
        package: what Python imports; the runtime is available where it is installed. Empty where it needs none.
        install: the one command that installs it.
        summary: one line for people.
        load: ``load(artifact, *, threads, device) -> Session``; the device is ``cpu``, ``gpu``, or the runtime's own name of one.
        device: what a Session computes on where nobody says.
        here: the same as ``load``, in the very process that calls it, of a runtime that may have an environment of its own.
        installed: whether it is installed, where finding the package is not enough to say.
        importing: imports the package, where a plain import is not what is wanted.
        program: what has to be on the PATH besides.
        absence: why it cannot run on this machine although these are here, such as a card that is missing; empty where it can.
        caveat: what its answers here are not, where it is not what the device runs; its Sessions' places say it too.
        op_times: ``op_times(artifact, inputs, *, threads, device, runs) -> OpTimes``; None where it does not tell them.
        no_op_times: then, why.
    """

    name: str
    suffixes: tuple[str, ...]
    package: str
    install: str
    summary: str
    load: Callable[..., Session]
    device: str = CPU
    here: Callable[..., Session] | None = None
    installed: Callable[[], bool] | None = None
    importing: Callable[[], object] | None = None
    program: str = ""
    absence: Callable[[], str] | None = None
    caveat: str = ""
    op_times: Callable[..., OpTimes] | None = None
    no_op_times: str = ""

    @property
    def available(self) -> bool:
        """Whether the package, and the program, are installed here, and nothing else of this machine is missing."""
        return not self.lacking

    @property
    def lacking(self) -> str:
        """Why it cannot run here, in few words; empty where it can."""
        why = self.absence() if self.absence is not None else ""
        return why or ("" if self._installed else NOT_INSTALLED)

    @property
    def state(self) -> str:
        """Whether it can run here, for people: with the reason and the command where it cannot."""
        why = self.lacking
        if why:
            return f"{why}{'' if why == NOT_INSTALLED else '; elsewhere'}: {self.install}"
        return "installed" if self.package or self.program else "needs no package"

    @property
    def _installed(self) -> bool:
        if self.installed is not None:
            return self.installed()
        return (not self.package or find_spec(self.package) is not None) and (
            not self.program or which(self.program) is not None
        )

    def require(self) -> None:
        """MissingPackage with the command that installs it, where it is not installed or cannot run here."""
        why = self.lacking
        if why:
            needed = f"the program {self.program}" if self.program else f"the Python package {self.package}"
            here = why == NOT_INSTALLED
            raise MissingPackage(
                given=f"the runtime {self.name}, {'which is not installed here' if here else why}",
                expected=needed if here else "a machine that has it",
                todo=f"run{'' if here else ' there'}: {self.install}",
            )

    def imported(self) -> None:
        """Import the package as ``load`` does, without a file."""
        if self.importing is not None:
            self.importing()
        elif self.package:
            import_module(self.package)
