"""An ML program computed in numpy, operation by operation, from what its file says and nothing else.

Every value is kept as the program declares it: float16 as float16, integers as integers. An operation is computed in float32
(with sums in float32) and its result rounded to the declared type once. An Apple chip may sum in another order or in float16,
join operations, or compute some of them by approximations: its last digits are others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from galenic.runtimes import coreml_elementwise, coreml_layers, coreml_norms, coreml_shapes
from galenic.runtimes.coreml_arguments import Arguments, Compute
from galenic.runtimes.coreml_proto import TEXT, Operation, Program, TensorType, Value, constants

CONST = "const"
WEIGHTS = "constexpr_"
OPERATIONS: Mapping[str, Compute] = {
    **coreml_elementwise.OPERATIONS,
    **coreml_layers.OPERATIONS,
    **coreml_norms.OPERATIONS,
    **coreml_shapes.OPERATIONS,
}
"""Every operation that is evaluated, by MIL's name."""
FAILURES = (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError, OverflowError, MemoryError)
"""What numpy raises for values that do not fit together."""
HALF = np.dtype(np.float16)


class EvaluationError(ValueError):
    """A program that is not evaluated, or contradicts itself; with the operation that it is about."""


@dataclass(frozen=True)
class Step:
    """One operation with the names of what it takes and makes.

    Attributes:
        operation: it.
        compute: what it does.
        last: the values that nothing needs after it.
    """

    operation: Operation
    compute: Compute
    last: tuple[str, ...]


class Evaluator:
    """A program that is ready: its weights are made, its operations are known.

    Raises:
        EvaluationError: an operation is not known here, or a weight cannot be made.
    """

    def __init__(self, program: Program) -> None:
        _refuse_unknown(program)
        _refuse_repeated(program)
        self.inputs, self.outputs = program.inputs, program.outputs
        self._held: dict[str, Any] = dict(constants(program.operations))
        computed = []
        for operation in program.operations:
            if operation.kind.startswith(WEIGHTS):
                self._held.update(_results(operation, OPERATIONS[operation.kind], self._held))
            elif operation.kind != CONST:
                computed.append(operation)
        self._steps = _steps(computed, program.outputs)

    def run(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """What the program answers for its inputs; EvaluationError where it contradicts itself."""
        known: dict[str, Any] = {**self._held, **values}
        for step in self._steps:
            known.update(_results(step.operation, step.compute, known))
            for name in step.last:
                known.pop(name, None)
        missing = [name for name in self.outputs if name not in known]
        if missing:
            raise EvaluationError(f"nothing makes its output {missing[0]}")
        return [known[name] for name in self.outputs]


def _refuse_unknown(program: Program) -> None:
    unknown = [operation for operation in program.operations if operation.kind not in {CONST, *OPERATIONS}]
    if unknown:
        counted = Counter(operation.kind for operation in unknown)
        first = {operation.kind: _name(operation) for operation in reversed(unknown)}
        said = [f"{kind} ({first[kind]}{' ...' if count > 1 else ''})" for kind, count in counted.items()]
        raise EvaluationError(f"its operations {', '.join(said[:6])} are not evaluated here")


def _refuse_repeated(program: Program) -> None:
    names = Counter(value.name for operation in program.operations for value in operation.outputs)
    names.update(value.name for value in program.inputs)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise EvaluationError(f"its value {repeated[0]} is made twice")


def _steps(operations: Sequence[Operation], outputs: Sequence[str]) -> list[Step]:
    """The operations in order, each with the values that are of no use after it."""
    last_use: dict[str, int] = {}
    for number, operation in enumerate(operations):
        for name in (*_taken(operation), *(value.name for value in operation.outputs)):
            last_use[name] = number
    spent: dict[int, list[str]] = {}
    for name, number in last_use.items():
        if name not in outputs:
            spent.setdefault(number, []).append(name)
    return [
        Step(operation, OPERATIONS[operation.kind], tuple(spent.get(number, ())))
        for number, operation in enumerate(operations)
    ]


def _results(operation: Operation, compute: Compute, known: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What an operation makes, by name and as it is declared."""
    try:
        arguments = Arguments(
            values={
                **{name: _as_computed(value) for name, value in operation.attributes.items()},
                **{name: _bound(bindings, known) for name, bindings in operation.inputs.items()},
            },
            shapes=tuple(value.type.shape or () for value in operation.outputs),
        )
        with np.errstate(all="ignore"):  # overflows become infinite, as they do on a device
            made = compute(arguments)
            parts = made if isinstance(made, list) else [made]
            return {value.name: _declared(value, part) for value, part in zip(operation.outputs, parts, strict=True)}
    except FAILURES as error:
        why = str(error) or type(error).__name__
        raise EvaluationError(
            f"its operation {operation.kind} ({_name(operation)}) cannot be computed: {why}"
        ) from error


def _bound(bindings: Sequence[Any], known: Mapping[str, Any]) -> Any:
    values = [_as_computed(known[one] if isinstance(one, str) and one in known else one) for one in bindings]
    return values[0] if len(values) == 1 else values


def _as_computed(value: Any) -> Any:
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == HALF else value


def _declared(value: Value, made: Any) -> np.ndarray:
    """A result as the type that it is declared as; ValueError where its shape is another one."""
    result, kind = np.asarray(made), value.type
    if kind.dtype == TEXT or not fits(kind, result.shape):
        raise ValueError(f"a result of shape {result.shape} that is declared as {kind.shape}")
    return result.astype(kind.dtype, copy=False)


def fits(kind: TensorType, shape: Sequence[int]) -> bool:
    """Whether a value of this shape may be of the declared type."""
    declared = kind.shape
    return declared is None or (
        len(declared) == len(shape) and all(one in (None, other) for one, other in zip(declared, shape, strict=True))
    )


def _taken(operation: Operation) -> list[str]:
    return [one for bindings in operation.inputs.values() for one in bindings if isinstance(one, str)]


def _name(operation: Operation) -> str:
    return operation.outputs[0].name if operation.outputs else "without a result"
