"""Core ML files, checked here and run on Apple's devices: the program in the file is computed by numpy (``coreml_evaluate``).

Apple's framework is on no machine but Apple's. What is answered here is what the saved graph and weights say, computed by other
code than made them; neither Apple's kernels nor their speed, nor how they round float16, are in it. It is single-stream, as
fast as numpy is.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.runtimes import check
from galenic.runtimes.batches import in_batches
from galenic.runtimes.coreml_evaluate import EvaluationError, Evaluator
from galenic.runtimes.coreml_package import WEIGHTS_PATH, opened
from galenic.runtimes.coreml_proto import Value, program_of
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime

NAME = "coreml"
READER = "galenic's reader of Core ML packages"
CAVEAT = "graph checked, never run on Apple hardware"
NUMPY = "numpy"
FLOATS, INTEGERS = (np.dtype(np.float32), np.dtype(np.float16)), (np.dtype(np.int32),)


@dataclass(frozen=True)
class CoremlSession:
    """A Session that computes a Core ML program in numpy.

    Attributes:
        artifact: the file.
        place: this machine and numpy's version, with the caveat; no threads, which numpy's libraries choose themselves.
        batch: rows that the file takes at a time; None for any number.
    """

    artifact: Artifact
    place: Place
    batch: int | None
    _evaluator: Evaluator

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 (int64 for text) in, (batch, classes) float32 logits out.

        Raises:
            DataError: the inputs are not what the file takes.
            ModelError: the program contradicts itself.
        """
        check.check_inputs(self.artifact, inputs)
        logits = in_batches(self._answer, inputs, self.batch or len(inputs))
        check.check_logits(self.artifact, logits, len(inputs))
        return logits

    def _answer(self, inputs: np.ndarray) -> np.ndarray:
        entry = self._evaluator.inputs[0]
        with np.errstate(over="ignore"):  # what is too large for float16 is infinite
            taken = inputs.astype(entry.type.dtype)
        try:
            answer = self._evaluator.run({entry.name: taken})[0]
        except EvaluationError as error:
            raise _not_evaluated(self.artifact, error) from error
        return answer.astype(np.float32)


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU) -> CoremlSession:
    """Load a zip of an .mlpackage.

    Args:
        artifact: the file.
        threads: at least 1; nothing here depends on it.
        device: ``cpu``.

    Raises:
        InputError: another device than the processor.
        ModelError: the file is missing, changed, damaged, or hostile; it has other inputs or outputs than it should, or
            operations that are not evaluated here.
    """
    check.check_threads(threads)
    check.check_device(device, NAME)
    data = check.verified_bytes(artifact)
    try:
        package = opened(data)
        program = program_of(package.model, package.weights, WEIGHTS_PATH)
    except (ValueError, IndexError, KeyError) as error:  # what is missing in a damaged message
        raise check.damaged(artifact, READER, error) from error
    try:
        evaluator = Evaluator(program)
    except EvaluationError as error:
        raise _not_evaluated(artifact, error) from error
    batch = _checked_batch(artifact, evaluator, {one.name: one for step in program.operations for one in step.outputs})
    place = Place(machine=machine_name(), runtime=NAME, versions={NUMPY: version(NUMPY)}, caveat=CAVEAT)
    return CoremlSession(artifact, place, batch, evaluator)


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".zip",),
    package="",
    install="pip install 'galenic[coreml]'",
    summary=f"Core ML packages (zipped), their programs computed by numpy: {CAVEAT}",
    load=load,
    caveat=CAVEAT,
    no_op_times="numpy's times here are not those of an Apple chip",
)


def _checked_batch(artifact: Artifact, evaluator: Evaluator, made: dict[str, Value]) -> int | None:
    """How many rows the program takes; its one input and its first output are checked."""
    entries = evaluator.inputs
    answers = [made[name] for name in evaluator.outputs if name in made]
    wanted = FLOATS if artifact.preprocessing.text is None else INTEGERS
    if len(entries) != 1 or entries[0].type.dtype not in wanted or not answers or answers[0].type.dtype not in FLOATS:
        found = ", ".join(f"{end.name} {end.type.dtype}" for end in (*entries, *answers))
        raise ModelError(
            given=f"{artifact.path} has the inputs and outputs {found or 'of no program'}",
            expected=f"one {wanted[0]} input, and float32 logits as the first output",
            todo=f"export it with {wanted[0]} inputs and float32 outputs",
        )
    shape = entries[0].type.shape or ()
    check.check_input_shape(artifact, shape)
    check.check_output_shape(artifact, answers[0].type.shape or ())
    return shape[0]


def _not_evaluated(artifact: Artifact, error: EvaluationError) -> ModelError:
    return ModelError(
        given=f"{artifact.path}: {error}",
        expected="operations of ML programs that galenic computes, on values that fit together",
        todo="run the file on an Apple device, or export another net",
    )
