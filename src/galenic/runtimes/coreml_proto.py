"""An ML program as its file has it: the operations of ``main``, with every constant, read from bytes alone.

The messages are those of MIL.proto and Model.proto (https://github.com/apple/coremltools/tree/main/mlmodel/format). Larger
constants lie in weight.bin, at multiples of 64 bytes, each behind a head of 64 bytes (mlmodel/src/MILBlob/Blob/StorageFormat.hpp):
    4 bytes 0xDEADBEEF, 4 bytes type, 8 bytes size in bytes, 8 bytes offset of the values, 8 bytes unused bits at the end
Neither coremltools nor protobuf is needed, and nothing of what made the file is used again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from galenic.runtimes.onnx_wire import fields

MAIN = "main"
TEXT = np.dtype(object)
TYPES: Mapping[int, tuple[np.dtype, int]] = {
    1: (np.dtype(bool), 8),
    2: (TEXT, 0),
    10: (np.dtype(np.float16), 16),
    11: (np.dtype(np.float32), 32),
    12: (np.dtype(np.float64), 64),
    21: (np.dtype(np.int8), 8),
    22: (np.dtype(np.int16), 16),
    23: (np.dtype(np.int32), 32),
    24: (np.dtype(np.int64), 64),
    25: (np.dtype(np.int8), 4),
    31: (np.dtype(np.uint8), 8),
    32: (np.dtype(np.uint16), 16),
    33: (np.dtype(np.uint32), 32),
    34: (np.dtype(np.uint64), 64),
    35: (np.dtype(np.uint8), 4),
    36: (np.dtype(np.uint8), 2),
    37: (np.dtype(np.uint8), 1),
}
"""MIL's DataType -> what holds it here, and the bits of one value in the file."""
BLOB_HEAD, SENTINEL = struct.Struct("<IIQQQ"), 0xDEADBEEF
MOST_VALUES = 2**28
"""Of one tensor: a file that declares a larger one is refused before it is computed."""
MOST_NESTED = 32
SIGNED_64 = 2**63


@dataclass(frozen=True)
class TensorType:
    """What a value is declared as.

    Attributes:
        dtype: what holds it here.
        bits: of one value in a file.
        shape: None for a side of any size; None where not even the number of sides is known.
    """

    dtype: np.dtype
    bits: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Value:
    """A declared name."""

    name: str
    type: TensorType


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        kind: such as ``conv``.
        inputs: parameter -> names of values, or constants themselves.
        attributes: parameter -> constant.
        outputs: what it makes.
    """

    kind: str
    inputs: Mapping[str, tuple[Any, ...]]
    attributes: Mapping[str, Any]
    outputs: tuple[Value, ...]


@dataclass(frozen=True)
class Program:
    """The one function of a model.

    Attributes:
        inputs: what it takes.
        operations: in the order of computation.
        outputs: the names of what it answers.
    """

    inputs: tuple[Value, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]


Message = dict[int, list[Any]]


def program_of(model: bytes, weights: bytes, weights_path: str) -> Program:
    """The program of a Model message.

    Args:
        model: the bytes of model.mlmodel.
        weights: the bytes of weight.bin.
        weights_path: what the program calls that file.

    Raises:
        ValueError: the bytes are no such message, are damaged, or hold what is not an ML program of one function.
    """
    reader = _Reader(weights, weights_path)
    model_fields = _message(memoryview(model))
    if 502 not in model_fields:
        raise ValueError("it is no ML program; neural networks of the older format are not read")
    functions = dict(_entry(item) for item in _message(model_fields[502][-1]).get(2, []))
    if MAIN not in functions:
        raise ValueError(f"its program has no function '{MAIN}'")
    function = _message(functions[MAIN])
    blocks = dict(_entry(item) for item in function.get(3, []))
    opset = _text(function, 2)
    if opset not in blocks:
        raise ValueError(f"its program has no block for its own operations, {opset}")
    block = _message(blocks[opset])
    return Program(
        inputs=tuple(reader.declared(item) for item in function.get(1, [])),
        operations=tuple(reader.operation(item) for item in block.get(3, [])),
        outputs=tuple(bytes(item).decode() for item in block.get(2, [])),
    )


def metadata_of(model: bytes) -> dict[str, bytes]:
    """The user-defined metadata of a Model message, by key; ValueError where the bytes are none."""
    found = {}
    for description in _message(memoryview(model)).get(2, []):
        for metadata in _message(description).get(100, []):
            for item in _message(metadata).get(100, []):
                entry = _message(item)
                found[_text(entry, 1)] = bytes(entry.get(2, [b""])[-1])
    return found


class _Reader:
    """Messages that may hold constants, which may lie in the file of weights."""

    def __init__(self, weights: bytes, weights_path: str) -> None:
        self._weights, self._path = weights, weights_path

    def operation(self, data: memoryview) -> Operation:
        message = _message(data)
        inputs = {}
        for item in message.get(2, []):
            name, argument = _entry(item)
            bindings = [_message(one) for one in _message(argument).get(1, [])]
            inputs[name] = tuple(_text(one, 1) if 1 in one else self.constant(one[2][-1]) for one in bindings)
        if message.get(4):
            raise ValueError(f"{_text(message, 1)} has blocks of its own (a loop or a branch), which are not evaluated")
        attributes = dict(_entry(item) for item in message.get(5, []))
        return Operation(
            kind=_text(message, 1),
            inputs=inputs,
            attributes={name: self.constant(value) for name, value in attributes.items()},
            outputs=tuple(self.declared(item) for item in message.get(3, [])),
        )

    def declared(self, data: memoryview) -> Value:
        message = _message(data)
        return Value(_text(message, 1), _type(message.get(2, [b""])[-1]))

    def constant(self, data: memoryview, depth: int = 0) -> Any:
        """A constant as an array, a text, or a list of them."""
        message = _message(data)
        if depth > MOST_NESTED:
            raise ValueError("constants in constants without end")
        if 5 in message:
            return self._from_file(_type(message[2][-1]), _message(message[5][-1]))
        immediate = _message(message.get(3, [b""])[-1])
        for number in (2, 3):  # a tuple, a list
            if number in immediate:
                items = _message(immediate[number][-1]).get(1, [])
                return [self.constant(item, depth + 1) for item in items]
        if 1 not in immediate:
            return None  # a dictionary, which no operation takes
        return _tensor(_type(message[2][-1]), _message(immediate[1][-1]))

    def _from_file(self, kind: TensorType, where: Message) -> np.ndarray:
        name, offset = _text(where, 1), where.get(2, [0])[-1]
        if name != self._path:
            raise ValueError(f"a constant lies in the file '{name[:120]}', which is not the package's")
        head = self._weights[offset : offset + BLOB_HEAD.size]
        if len(head) < BLOB_HEAD.size:
            raise ValueError(f"a constant at byte {offset} of weights of {len(self._weights)}")
        sentinel, _, size, start, _ = BLOB_HEAD.unpack(head)
        if sentinel != SENTINEL or start + size > len(self._weights):
            raise ValueError(f"no constant at byte {offset} of the weights")
        return _raw(kind, self._weights[start : start + size])


def _type(data: memoryview) -> TensorType:
    """A tensor's type. Lists, tuples and dictionaries are of texts and settings here, never of what is computed."""
    message = _message(data)
    tensor = _message(message.get(1, [b""])[-1])
    number = tensor.get(1, [0])[-1]
    if 1 not in message:
        return TensorType(TEXT, 0, None)
    if number not in TYPES:
        raise ValueError(f"a tensor of MIL's type {number}, which is not evaluated")
    dtype, bits = TYPES[number]
    shape = tuple(_side(item) for item in tensor.get(3, []))
    if prod(side for side in shape if side is not None) > MOST_VALUES:
        raise ValueError(f"a tensor of shape {shape}; {MOST_VALUES} values are the most")
    return TensorType(dtype, bits, shape)


def _side(data: memoryview) -> int | None:
    message = _message(data)
    if 1 not in message:
        return None
    size: int = _message(message[1][-1]).get(1, [0])[-1]
    return size


def _tensor(kind: TensorType, message: Message) -> Any:
    """A constant that stands in the message itself."""
    if 4 in message:
        texts = [bytes(item).decode() for item in _message(message[4][-1]).get(1, [])]
        return texts[0] if len(texts) == 1 and not kind.shape else texts
    for number, read in _REPEATED.items():
        if number in message:
            return _shaped(kind, read(_message(message[number][-1]).get(1, [])))
    if 7 in message:
        return _raw(kind, bytes(_message(message[7][-1]).get(1, [b""])[-1]))
    return _shaped(kind, np.zeros(0))


def _raw(kind: TensorType, data: bytes) -> np.ndarray:
    """Values as they lie in memory, little-endian; of fewer than 8 bits the first is in the lowest."""
    count = prod(side or 0 for side in kind.shape or ())
    if kind.dtype == TEXT or len(data) * 8 < count * kind.bits:
        raise ValueError(f"{len(data)} bytes for {count} values of {kind.bits} bits")
    if kind.bits >= 8:
        return _shaped(kind, np.frombuffer(data, kind.dtype.newbyteorder("<"), count))
    each = 8 // kind.bits
    packed = np.frombuffer(data, np.uint8, -(-count // each))
    values = (packed[:, None] >> (np.arange(each, dtype=np.uint8) * kind.bits)) & (2**kind.bits - 1)
    flat = values.reshape(-1)[:count].astype(np.int16)
    if kind.dtype == np.int8:
        flat = np.where(flat >= 2 ** (kind.bits - 1), flat - 2**kind.bits, flat)
    return _shaped(kind, flat)


def _shaped(kind: TensorType, values: np.ndarray) -> np.ndarray:
    shape = kind.shape or ()
    if len(values) != prod(side or 0 for side in shape):
        raise ValueError(f"{len(values)} values for a constant of shape {shape}")
    return values.astype(kind.dtype).reshape([side or 0 for side in shape])


def _floats(items: list[Any]) -> np.ndarray:
    return np.frombuffer(b"".join(bytes(item) for item in items), "<f4")


def _doubles(items: list[Any]) -> np.ndarray:
    return np.frombuffer(b"".join(bytes(item) for item in items), "<f8")


def _integers(items: list[Any]) -> np.ndarray:
    """Varints, one by one or packed; a negative number is one of 64 bits."""
    found: list[int] = []
    for item in items:
        found += [item] if isinstance(item, int) else _varints(item)
    return np.array([value - 2 * SIGNED_64 if value >= SIGNED_64 else value for value in found], np.int64)


def _varints(data: memoryview) -> list[int]:
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value & (2 * SIGNED_64 - 1))
            value = shift = 0
        elif shift > 63:
            raise ValueError("a number of more than ten bytes")
    if shift:
        raise ValueError("a number that is cut off")
    return found


_REPEATED = {1: _floats, 2: _integers, 3: _integers, 5: _integers, 6: _doubles}
"""Of TensorValue: floats, ints, bools, longInts, doubles."""


def _message(data: Any) -> Message:
    """Every field of a message, by its number, in order."""
    if isinstance(data, int):
        raise ValueError("a number where a message should be")
    found: Message = {}
    for number, value in fields(memoryview(data)):
        found.setdefault(number, []).append(value)
    return found


def _entry(data: Any) -> tuple[str, Any]:
    """The key and the value of an entry of a map."""
    message = _message(data)
    return _text(message, 1), message.get(2, [memoryview(b"")])[-1]


def _text(message: Message, number: int) -> str:
    value = message.get(number, [b""])[-1]
    if isinstance(value, int):
        raise ValueError("a number where a text should be")
    return bytes(value).decode()


def constants(operations: tuple[Operation, ...]) -> Iterator[tuple[str, Any]]:
    """The name and the value of every constant."""
    for operation in operations:
        if operation.kind == "const":
            yield operation.outputs[0].name, operation.attributes["val"]
