"""What an INT8 .tflite file has, as the makers of steps ask for it: operations, tensors without their batch, constants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from galenic.exporters.c_steps import HIGHEST, LOWEST, Tensor
from galenic.exporters.litert_coverage import INT8, INTEGERS, integers_of
from galenic.exporters.litert_file import kinds
from galenic.exporters.tflite_micro import OPERATIONS, place_of
from galenic.record.errors import ModelError

INT32 = 2  # TensorType of LiteRT's schema
RECTIFY, RECTIFY_6 = 1, 3  # its ActivationFunctionType


@dataclass
class Operation:
    """One operation: the numbers of the tensors that it takes and makes, and its options as the schema has them."""

    kind: str
    inputs: list[int]
    output: int
    options: Any


@dataclass
class Reader:
    """A file, and what has become of it so far.

    Attributes:
        model: a ``ModelT`` of LiteRT's schema.
        name: of the model, for errors.
        known: what each tensor's number has become.
        pads, turns: what was left to the users: tensor -> where it comes from, and rows and columns, or axes.
    """

    model: Any
    name: str
    known: dict[int, Tensor] = field(default_factory=dict)
    pads: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = field(default_factory=dict)
    turns: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)

    def raw(self, number: int) -> Any:
        """A tensor as the schema has it."""
        return self.model.subgraphs[0].tensors[number]

    def label(self, number: int) -> str:
        """A tensor's name."""
        return str(self.raw(number).name.decode())

    def place(self, operation: Operation) -> str:
        """Where an operation is in the user's model."""
        return place_of(operation.kind, self.label(operation.output))

    def computed(self, operation: Operation) -> list[int]:
        """The tensors that an operation takes and makes, without constants."""
        found = (number for number in (*operation.inputs, operation.output) if number >= 0)
        return [number for number in found if self.model.buffers[self.raw(number).buffer].data is None]

    def shape(self, number: int) -> tuple[int, ...]:
        """Without the batch, which is 1; whole where rows lie in its place."""
        sides = tuple(int(side) for side in self.raw(number).shape)
        return sides[1:] if sides[:1] == (1,) else sides

    def values(self, number: int) -> np.ndarray:
        """A constant's numbers, in its whole shape; int4 is unpacked."""
        raw = self.raw(number)
        if raw.type in INTEGERS:
            return integers_of(self.model, raw)
        if raw.type != INT32:
            raise self.refused(f"{self.label(number)} is not of integers", "integer weights throughout")
        return np.asarray(self.model.buffers[raw.buffer].data, np.uint8).view(np.int32).reshape(raw.shape)

    def tensor(self, number: int) -> Tensor:
        """A tensor of the file, as itself or as what it has become."""
        if number in self.known:
            return self.known[number]
        raw = self.raw(number)
        if raw.type != INT8:
            raise self.refused(f"{self.label(number)} is not int8", "integers throughout: no layer kept float")
        grid = raw.quantization
        constant = self.values(number) if self.model.buffers[raw.buffer].data is not None else None
        shape = constant.shape if constant is not None else self.shape(number)
        scale, zero = float(np.float32(grid.scale[0])), int(grid.zeroPoint[0])
        return Tensor(self.label(number), shape, scale, zero, number, constant)

    def made(self, operation: Operation) -> Tensor:
        """The tensor that an operation makes."""
        self.known[operation.output] = self.tensor(operation.output)
        return self.known[operation.output]

    def copied(self, operation: Operation, number: int) -> tuple[Tensor, Tensor]:
        """An input and the output of an operation that moves integers as they are: both have one grid."""
        entry, output = self.tensor(number), self.made(operation)
        if (entry.scale, entry.zero_point) != (output.scale, output.zero_point):
            raise self.refused(
                f"{output.name} has another grid than {entry.name}, which it is made of", "one grid for both"
            )
        return entry, output

    def clip(self, operation: Operation) -> tuple[int, int]:
        """What a fused activation leaves of the output's integers."""
        output = self.tensor(operation.output)
        fused = operation.options.fusedActivationFunction
        low = max(LOWEST, output.zero_point) if fused in (RECTIFY, RECTIFY_6) else LOWEST
        if fused not in (0, RECTIFY, RECTIFY_6):
            raise self.refused(f"activation {fused} fused at {output.name}", "none, ReLU or ReLU6")
        high = (
            HIGHEST if fused != RECTIFY_6 else min(HIGHEST, output.zero_point + int(np.floor(6.0 / output.scale + 0.5)))
        )
        return low, high

    def axes(self, operation: Operation) -> tuple[int, ...]:
        """The axes of a TRANSPOSE without the batch."""
        axes = [int(one) for one in self.values(operation.inputs[1])]
        if axes[0] != 0:
            raise self.refused(f"{self.label(operation.output)} turns the batch", "operations on one row")
        return tuple(one - 1 for one in axes[1:])

    def refused(self, given: str, expected: str) -> ModelError:
        """What to raise where plain C does not compute what the file does."""
        return ModelError(
            given=f"{self.name} cannot become plain C: {given}",
            expected=expected,
            todo="put other operations there, quantize all of it (keep nothing float), or choose "
            + ("tflite-micro or litert" if set(kinds(self.model)) <= OPERATIONS else "litert"),
        )
