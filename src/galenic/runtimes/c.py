"""A net in C, compiled by gcc and run in a process of its own: on this machine, or on a Cortex-M that QEMU plays.

    cpu         gcc for this machine; timed, but a microcontroller is another machine
    cortex-m4   arm-none-eabi-gcc, QEMU's board mps2-an386; instructions are counted (``c_cortex_m.py``)
    cortex-m7   the same on mps2-an500

Only files that galenic made are compiled: those whose Artifact names their hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from galenic.record.artifact import Artifact
from galenic.record.measurement import Place
from galenic.runtimes import c_cortex_m, check
from galenic.runtimes.c_file import HARNESS, compile_net, facts_of, program_version
from galenic.runtimes.frames import ANSWER, ROWS
from galenic.runtimes.integer_ends import IntegerEnds
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime
from galenic.runtimes.worker import Worker

NAME = "c"
READER = "gcc"
COMPILER = "gcc"
COMMAND = (COMPILER, "-std=c99", "-O2", "-Werror", '-DGALENIC_NET="net.c"', str(HARNESS / "serve.c"))
CAVEAT = "compiled for this machine, not for a microcontroller"
MOST_ROW_S = 60.0
CLOCK_BYTES = 8


@dataclass(eq=False)
class CSession:
    """A Session of a net in C on this machine; its process ends with it.

    Attributes:
        artifact: the file.
        place: this machine and the compiler.
        baseline_mb: resident memory of the process before the first row, 10^6 bytes.
        inference_ns: how long the last ``run`` took there.
    """

    artifact: Artifact
    place: Place
    baseline_mb: float
    _ends: IntegerEnds
    _worker: Worker = field(repr=False)
    inference_ns: int = 0

    @property
    def process_id(self) -> int:
        """Of the process that computes."""
        return self._worker.process_id

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 in, (batch, classes) float32 logits out; ModelError where the process died."""
        check.check_inputs(self.artifact, inputs)
        rows, classes = len(inputs), len(self.artifact.classes)
        integers = self._ends.entering(inputs)
        limit = CLOCK_BYTES + rows * classes
        kind, answer = self._worker.ask(ROWS, integers.tobytes(), within_s=MOST_ROW_S * rows, most_bytes=limit)
        if kind != ANSWER or len(answer) != limit:
            raise check.damaged(self.artifact, READER, ValueError(f"an answer of {len(answer)} bytes"))
        self.inference_ns = int.from_bytes(answer[:CLOCK_BYTES], "little")
        logits = self._ends.leaving(np.frombuffer(answer, np.int8, offset=CLOCK_BYTES).reshape(rows, classes))
        check.check_logits(self.artifact, logits, rows)
        return logits

    def close(self) -> None:
        """End the process."""
        self._worker.close()


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU) -> CSession | c_cortex_m.CortexSession:
    """Compile a net in C and start it, on this machine or in QEMU; there is one thread whatever is asked for.

    Raises:
        MissingPackage: no compiler, or no QEMU.
        InputError: another device than the processor or a Cortex-M.
        ModelError: the file is missing, changed, does not compile, or has other inputs or outputs than it should.
    """
    check.check_threads(threads)
    check.check_device(device, NAME, (check.CPU, *c_cortex_m.BOARDS))
    data = check.verified_bytes(artifact)
    if device != check.CPU:
        return c_cortex_m.load(artifact, data, device)
    RUNTIME.require()
    ends = IntegerEnds.of(artifact, facts_of(artifact, data))
    with TemporaryDirectory(prefix="galenic-c-") as folder:  # a program that runs needs its file no more
        path = Path(folder)
        (path / "net.c").write_bytes(data)
        compile_net(artifact, [*COMMAND, "-I.", "-o", "net"], path)
        worker = Worker(path / "net", f"{artifact.path}, compiled")
    baseline_mb = psutil.Process(worker.process_id).memory_info().rss / 1e6
    versions = {COMPILER: program_version(COMPILER, "-dumpfullversion")}
    place = Place(machine=machine_name(), runtime=NAME, versions=versions, threads=1, caveat=CAVEAT)
    return CSession(artifact, place, baseline_mb, ends, worker)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(),
    package="",
    program=COMPILER,
    install="apt-get install gcc",
    summary="a C file for microcontrollers: compiled and run here, or on a Cortex-M in QEMU (device cortex-m4, cortex-m7)",
    load=load,
    caveat=CAVEAT,
)
