"""A net in C on a Cortex-M4 or M7 that QEMU plays: cross-compiled without any library, with its flash, RAM and instructions.

    flash           code, tables and weights of the net's own object file
    RAM             its variables (the tensors) and the deepest stack, found by painting it
    instructions    of one row: QEMU's clock stands at one instruction a nanosecond, the processor's timer has 40 of them a tick

QEMU counts instructions, not cycles: how long they take on a chip depends on its flash, its caches and its clock.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import MissingPackage, ModelError
from galenic.record.measurement import Footprint, Place
from galenic.runtimes import check
from galenic.runtimes.c_file import HARNESS, compile_net, facts_of, program_version
from galenic.runtimes.integer_ends import IntegerEnds

VERSION = 1
"""Raised when the same file would give other numbers."""
COMPILER, SIZE, MACHINE = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
INSTALL = "apt-get install --no-install-recommends gcc-arm-none-eabi qemu-system-arm"
FLAGS = (
    "-mthumb",
    "-mfloat-abi=hard",
    "-std=c99",
    "-O2",
    "-Werror",
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
)
LINKING = ("-nostdlib", "-Wl,--gc-sections", "-Wl,--build-id=none", "-lgcc")
BOARDS = {"cortex-m4": ("fpv4-sp-d16", "mps2-an386"), "cortex-m7": ("fpv5-sp-d16", "mps2-an500")}
CAVEAT = "QEMU: instructions counted, no time measured"
TICK_INSTRUCTIONS = 40
TICK_BYTES = 4
MOST_S, MOST_ROW_S = 120.0, 60.0


@dataclass(eq=False)
class CortexSession:
    """A Session of a net in C in QEMU; each ``run`` starts the board anew.

    Attributes:
        artifact: the file.
        place: the core, and the versions of compiler and QEMU.
        flash_bytes, static_bytes: of the net's own object file.
        stack_bytes: the deepest stack of the last ``run``, the harness's own included.
        instructions: of one row, the median of the last ``run``.
    """

    artifact: Artifact
    place: Place
    flash_bytes: int
    static_bytes: int
    _ends: IntegerEnds
    _program: bytes = field(repr=False)
    stack_bytes: int = 0
    instructions: int = 0

    def footprint(self) -> Footprint:
        """What the net takes, by what has been run so far."""
        versions = ", ".join(f"{name} {version}" for name, version in self.place.versions.items())
        return Footprint(
            flash_bytes=self.flash_bytes,
            static_bytes=self.static_bytes,
            stack_bytes=self.stack_bytes,
            instructions=self.instructions,
            where=f"{self.place.machine}; {versions}; {self.place.caveat}",
        )

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 in, (batch, classes) float32 logits out; ModelError where the board stopped."""
        check.check_inputs(self.artifact, inputs)
        rows, classes = len(inputs), len(self.artifact.classes)
        answer = self._answer(self._ends.entering(inputs).tobytes(), rows)
        if len(answer) != rows * (classes + TICK_BYTES) + TICK_BYTES:
            raise self._stopped(f"it answered {len(answer)} bytes")
        table = np.frombuffer(answer[:-TICK_BYTES], np.uint8).reshape(rows, classes + TICK_BYTES)
        ticks = np.ascontiguousarray(table[:, classes:]).view("<u4")
        self.instructions = int(np.median(ticks)) * TICK_INSTRUCTIONS
        self.stack_bytes = int.from_bytes(answer[-TICK_BYTES:], "little")
        return self._ends.leaving(np.ascontiguousarray(table[:, :classes]).view(np.int8))

    def _answer(self, rows_bytes: bytes, rows: int) -> bytes:
        """What the board writes, from its start to its end."""
        board = ["-M", BOARDS[self.place.device][1], "-kernel", "net.elf", "-icount", "shift=0", "-display", "none"]
        quiet = ["-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"]
        with TemporaryDirectory(prefix="galenic-cortex-") as folder:
            (Path(folder) / "net.elf").write_bytes(self._program)
            (Path(folder) / "input").write_bytes(rows_bytes)
            try:
                done = subprocess.run(
                    [MACHINE, *board, *quiet],
                    cwd=folder,
                    capture_output=True,
                    timeout=MOST_S + rows * MOST_ROW_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise self._stopped(f"no answer within {error.timeout:g} s") from error
            if done.returncode:
                raise self._stopped(f"it left with {done.returncode}")
            return (Path(folder) / "output").read_bytes()

    def _stopped(self, why: str) -> ModelError:
        return ModelError(
            given=f"{self.artifact.path} on {self.place.device} in QEMU: {why}",
            expected="an answer for every row",
            todo="make the file again; a net of over 4 MB does not fit the board",
        )


def load(artifact: Artifact, data: bytes, device: str) -> CortexSession:
    """Cross-compile a net for a board.

    Raises:
        MissingPackage: the compiler or QEMU is not installed.
        ModelError: the file does not compile, or has other inputs or outputs than it should.
    """
    require()
    ends = IntegerEnds.of(artifact, facts_of(artifact, data))
    target = [COMPILER, f"-mcpu={device}", f"-mfpu={BOARDS[device][0]}", *FLAGS]
    board = [str(HARNESS / "cortex_m.c"), "-T", str(HARNESS / "cortex_m.ld"), *LINKING]
    with TemporaryDirectory(prefix="galenic-cortex-") as folder:
        path = Path(folder)
        (path / "net.c").write_bytes(data)
        compile_net(artifact, [*target, "-c", "net.c", "-o", "net.o"], path)
        compile_net(artifact, [*target, '-DGALENIC_NET="net.c"', "-I.", *board, "-o", "net.elf"], path)
        flash_bytes, static_bytes = _sizes(path)
        program = (path / "net.elf").read_bytes()
    place = Place(
        machine=f"{device} ({BOARDS[device][1]}) in QEMU",
        runtime="c",
        versions={
            COMPILER: program_version(COMPILER, "-dumpfullversion"),
            MACHINE: program_version(MACHINE, "--version"),
        },
        threads=1,
        device=device,
        caveat=CAVEAT,
    )
    return CortexSession(artifact, place, flash_bytes, static_bytes, ends, program)


def require() -> None:
    """MissingPackage with the command that installs the compiler and QEMU, where they are not here."""
    missing = [one for one in (COMPILER, SIZE, MACHINE) if which(one) is None]
    if missing:
        raise MissingPackage(
            given="a Cortex-M, for which nothing can be compiled or run here",
            expected=f"the programs {', '.join(missing)}",
            todo=f"run: {INSTALL}",
        )


def _sizes(folder: Path) -> tuple[int, int]:
    """Flash and variables of net.o: code and constants are flash, initialised variables both, others RAM."""
    said = subprocess.run([SIZE, "net.o"], cwd=folder, capture_output=True, text=True, check=True).stdout
    text, data, bss = (int(number) for number in said.splitlines()[1].split()[:3])
    return text + data, data + bss
