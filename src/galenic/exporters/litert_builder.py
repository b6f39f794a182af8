"""New tensors and operations in a .tflite file that is read as objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

INT32 = 2  # TensorType of the schema


class Builder:
    """Adds tensors and operations to a file."""

    def __init__(self, file: Any) -> None:
        from ai_edge_litert import schema_py_generated

        self.file, self._schema = file, schema_py_generated
        self._tensors = file.subgraphs[0].tensors

    def number(self, tensor: Any) -> int:
        """Of a tensor of the file."""
        return next(place for place, one in enumerate(self._tensors) if one is tensor)

    def tensor(self, name: str, shape: Sequence[int], kind: int, values: np.ndarray | None = None) -> int:
        """The number of a new tensor; a computed one has no values."""
        made = self._schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name.encode(), np.array(shape, np.int32), kind, 0
        if values is not None:
            made.buffer = len(self.file.buffers)
            self.file.buffers.append(self._schema.BufferT())
            self.file.buffers[-1].data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self._tensors.append(made)
        return len(self._tensors) - 1

    def scale(self, tensor: int, scales: np.ndarray) -> None:
        """Give each row of a tensor its scale."""
        grid = self._schema.QuantizationParametersT()
        grid.scale, grid.zeroPoint, grid.quantizedDimension = scales, np.zeros(len(scales), np.int64), 0
        self._tensors[tensor].quantization = grid

    def operation(self, kind: str, inputs: Sequence[int], output: int) -> Any:
        """A new operation, which is in no graph yet."""
        code = getattr(self._schema.BuiltinOperator, kind)
        codes = self.file.operatorCodes
        known = [place for place, one in enumerate(codes) if max(one.builtinCode, one.deprecatedBuiltinCode) == code]
        if not known:
            codes.append(self._schema.OperatorCodeT())
            codes[-1].builtinCode = codes[-1].deprecatedBuiltinCode = code
            codes[-1].version = 1
        made = self._schema.OperatorT()
        made.opcodeIndex = known[0] if known else len(codes) - 1
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        return made

    def reshape(self, taken: int, made: int, shape: Sequence[int], name: str) -> Any:
        """A RESHAPE to a constant shape."""
        sides = self.tensor(f"{name}:shape", (len(shape),), INT32, np.array(shape, np.int32))
        return self.operation("RESHAPE", [taken, sides], made)
