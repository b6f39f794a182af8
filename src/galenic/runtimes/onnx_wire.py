"""Which tensors of an ONNX file lie outside it, read from the protobuf bytes without the onnx package.

A file with external data names other files, which no hash of ours covers and which could be any path of the machine.
The fields below are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto through which a TensorProto can be
reached; the wire format is https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.runtimes.check import damaged

CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
TENSOR_NAME, TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION = 8, 13, 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST_NESTED = 64


def refuse_external_data(artifact: Artifact, data: bytes, reader: str) -> None:
    """ModelError where the file's bytes are no protobuf message, or name other files."""
    try:
        outside = external_tensors(data)
    except ValueError as error:
        raise damaged(artifact, reader, error) from error
    if outside:
        raise ModelError(
            given=f"{artifact.path} keeps {len(outside)} tensors in other files ({', '.join(outside[:3])} ...)",
            expected="one file with everything in it: no hash covers the others",
            todo="export it again with external_data=False",
        )


def external_tensors(data: bytes) -> list[str]:
    """The names of the tensors whose values lie in another file; ValueError where ``data`` is no protobuf message."""
    return list(_walk(memoryview(data), "model", 0))


def _walk(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > MOST_NESTED:
        raise ValueError(f"messages nested more than {MOST_NESTED} deep")
    if kind == "tensor":
        values = dict(fields(message))
        if values.get(TENSOR_DATA_LOCATION) or TENSOR_EXTERNAL_DATA in values:
            name = values.get(TENSOR_NAME, b"")
            yield bytes(name).decode(errors="replace") if isinstance(name, memoryview) else ""
        return
    children = CHILDREN[kind]
    for field, value in fields(message):
        if field in children and isinstance(value, memoryview):
            yield from _walk(value, children[field], depth + 1)


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number and its value: an int for varints, the bytes otherwise."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(message, at)
            yield field, value
            continue
        if wire == BYTES:
            length, at = _varint(message, at)
        elif wire in {FIXED64, FIXED32}:
            length = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(message):
            raise ValueError("a field that ends after its message")
        yield field, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("a number that is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")
