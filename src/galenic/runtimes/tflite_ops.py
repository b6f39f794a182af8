"""The operations of a .tflite file with the types and shapes of what they take and make, read without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galenic.record.errors import ModelError
from galenic.runtimes.litert import RUNTIME

INT32, BLOCKWISE = 2, 2  # a TensorType and a QuantizationDetails of the schema
FEW_VALUES = 64
"""Constants of up to so many int32 are axes, paddings and shapes, which decide what an accelerator takes."""
ACTIVATION = "fusedActivationFunction"


@dataclass(frozen=True)
class Tensor:
    """What an operation takes or makes.

    Attributes:
        name: in the file.
        type: such as ``INT8``, by the schema's name.
        shape: -1 where a side is not known before it runs.
        constant: whether its values are in the file.
        grid: its scales and zero points, of integers.
        blocks: whether weights of one channel have several scales.
        values: of a constant of few int32, else empty.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    constant: bool
    grid: tuple[tuple[float, ...], tuple[int, ...]] = ((), ())
    blocks: bool = False
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes:
        kind: such as ``CONV_2D``; ``CUSTOM`` for one outside of the schema.
        inputs: None where an optional one is left out.
        outputs: what it makes.
        options: the schema's own names -> numbers, such as ``strideH``.
        activation: what is fused into it, such as ``RELU6``; ``NONE`` for nothing.
    """

    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any]
    activation: str = "NONE"


def operations_of(path: Path) -> list[Op]:
    """The operations of the first graph of the file at ``path``, in the order of computation.

    Raises:
        MissingPackage: ai-edge-litert is not installed.
        ModelError: the file cannot be read, or is no whole .tflite file.
    """
    RUNTIME.require()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}, which cannot be read ({error.strerror})", "a .tflite file", "check the path"
        ) from error
    try:
        if data[4:8] != b"TFL3":
            raise ValueError("it does not begin as one")
        return _operations(data)
    except Exception as error:  # the schema's readers check no bounds: whatever a damaged file makes them raise
        raise ModelError(
            given=f"{path}, which is not a whole .tflite file ({type(error).__name__}: {str(error)[:120]})",
            expected="a LiteRT file",
            todo="export the model for litert (runtime = 'litert'), or copy the file again",
        ) from error


def _operations(data: bytes) -> list[Op]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data)
    enumerations = (schema.TensorType, schema.BuiltinOperator, schema.ActivationFunctionType)
    types, kinds, fused = (_names(one) for one in enumerations)
    graph = model.subgraphs[0]
    tensors = [_tensor(model, tensor, types) for tensor in graph.tensors]
    found = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        options = dict(vars(operator.builtinOptions)) if operator.builtinOptions is not None else {}
        found.append(
            Op(
                kind=kinds[max(code.builtinCode, code.deprecatedBuiltinCode)],
                inputs=tuple(tensors[number] if number >= 0 else None for number in _list(operator.inputs)),
                outputs=tuple(tensors[number] for number in _list(operator.outputs)),
                options=options,
                activation=fused[options.get(ACTIVATION, 0)],
            )
        )
    return found


def _tensor(model: Any, tensor: Any, types: Mapping[int, str]) -> Tensor:
    buffer = model.buffers[tensor.buffer]
    constant = buffer.data is not None or bool(buffer.offset)
    shape = _list(tensor.shapeSignature) or _list(tensor.shape)
    values: tuple[int, ...] = ()
    if tensor.type == INT32 and buffer.data is not None and len(buffer.data) <= FEW_VALUES * 4:
        values = tuple(np.asarray(buffer.data, np.uint8).view(np.int32).tolist())
    return Tensor(
        name=(tensor.name or b"").decode(errors="replace"),
        type=types[tensor.type],
        shape=tuple(shape),
        constant=constant,
        grid=_grid(tensor.quantization),
        blocks=tensor.quantization is not None and tensor.quantization.detailsType == BLOCKWISE,
        values=values,
    )


def _grid(quantization: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    if quantization is None or quantization.scale is None:
        return (), ()
    return tuple(np.atleast_1d(quantization.scale).tolist()), tuple(_list(quantization.zeroPoint))


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _list(numbers: Any) -> list[int]:
    return [] if numbers is None else [int(number) for number in np.atleast_1d(numbers)]
