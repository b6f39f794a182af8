"""An artifact: a file in a runtime's format, its hash, its lineage, its preprocessing and its quantization."""

from __future__ import annotations

from pathlib import Path

from galenic.record.base import Record
from galenic.record.preprocessing import Preprocessing
from galenic.record.quant import QuantSpec
from galenic.record.task import TaskKind


class IntegerOps(Record):
    """How many of a file's weighted layers (convolution, dense) compute on integers, and which do not.

    ``expected`` is what was asked for; fewer integer layers than that is said by name, never hidden.
    """

    integer: int
    floating: int
    expected: int
    left_float: tuple[str, ...] = ()


class Artifact(Record):
    """A file that a runtime loads.

    Attributes:
        path: where it lies.
        runtime: the runtime's name, such as ``onnxruntime``.
        precision: ``float32``, ``int8`` ...
        sha256: of the file's bytes.
        size_bytes: of the file.
        lineage: what it was made by, oldest first, as short names (``mobilenet_v3_small``, ``soft_target`` ...).
        preprocessing: what a raw row goes through before it.
        classes: the names of its outputs, in order.
        kind: of the task; it decides between softmax and sigmoid. None where it is not known (an outside file, an older card).
        macs: multiply-accumulates of one input, 0 where they are not known (an outside file).
        parameters: 0 where they are not known.
        quant: None for a float file.
        integer_ops: counted in the file itself.
        stored_bytes: of its weights and tables on a device, where the file is source text; None where the file is stored as it is.
    """

    path: Path
    runtime: str
    precision: str
    sha256: str
    size_bytes: int
    lineage: tuple[str, ...]
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    kind: TaskKind | None = None
    macs: int = 0
    parameters: int = 0
    quant: QuantSpec | None = None
    integer_ops: IntegerOps | None = None
    stored_bytes: int | None = None

    @property
    def computation(self) -> dict[str, str]:
        """What answers: the file's hash, its runtime and its precision. Runtimes share files, and a precision can be the
        runtime's alone (OpenVINO's bfloat16), so the hash does not say which numbers a file gives.
        """
        return {"sha256": self.sha256, "runtime": self.runtime, "precision": self.precision}
