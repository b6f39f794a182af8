"""The inside of an .ort file, read as tables and written again: the same model gives the same bytes.

ONNX Runtime writes tensors, constants and attributes in the order of its hash tables, which is another one in each process. What
has no order of its own is sorted by name here, equal texts are stored once, and constants lie at multiples of 16 bytes.
A table is a dict of its fields; a field that is left out has its default. Numbers in a row are kept as the bytes that they are.

The schema is https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/flatbuffers/schema/ort.fbs, version 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from galenic.record.card import Card, card_parts
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing

IDENTIFIER = b"ORTM"
VERSION = "6"
ALIGNMENT = 16  # of constants, in bytes: a runtime on a phone may use them in place
HEADER_SLOTS = 2  # of a vtable, before its fields: two bytes each
OFFSET_BYTES = 4
TENSOR_TYPE = 1  # in the union of a TypeInfo: all that a net's values are

Tree = dict[str, Any]
INT64, INT32, UINT32 = number_types.Int64Flags, number_types.Int32Flags, number_types.Uint32Flags
INT8, UINT8, FLOAT = number_types.Int8Flags, number_types.Uint8Flags, number_types.Float32Flags


@dataclass(frozen=True)
class Number:
    """One number."""

    flags: Any
    default: int = 0

    def read(self, table: Table, place: int) -> Any:
        """From where it lies in its table."""
        return table.Get(self.flags, place)


@dataclass(frozen=True)
class Numbers:
    """Numbers or structs in a row, as bytes."""

    size_bytes: int
    alignment: int

    def read(self, table: Table, place: int) -> bytes:
        """From where their distance lies."""
        start, count = _vector(table, place)
        return bytes(table.Bytes[start : start + count * self.size_bytes])

    def write(self, builder: flatbuffers.Builder, value: bytes) -> int:
        """Where they begin."""
        builder.StartVector(self.size_bytes, len(value) // self.size_bytes, self.alignment)
        builder.head -= len(value)
        builder.Bytes[builder.head : builder.head + len(value)] = value
        return int(builder.EndVector())


@dataclass(frozen=True)
class Text:
    """One text."""

    def read(self, table: Table, place: int) -> str:
        """From where its distance lies."""
        return str(table.String(place).decode())

    def write(self, builder: flatbuffers.Builder, value: str) -> int:
        """Where it begins."""
        return int(builder.CreateSharedString(value))


@dataclass(frozen=True)
class Of:
    """One table."""

    kind: str

    def read(self, table: Table, place: int) -> Tree:
        """From where its distance lies."""
        return _read(Table(table.Bytes, table.Indirect(place)), self.kind)

    def write(self, builder: flatbuffers.Builder, value: Tree) -> int:
        """Where it begins."""
        return _write(builder, self.kind, value)


@dataclass(frozen=True)
class Many:
    """Texts or tables in a row; sorted by one of their fields where they have no order of their own."""

    of: Text | Of
    by: str = ""

    def read(self, table: Table, place: int) -> list[Any]:
        """From where their distance lies."""
        start, count = _vector(table, place)
        return [self.of.read(table, start + OFFSET_BYTES * number) for number in range(count)]

    def write(self, builder: flatbuffers.Builder, value: Sequence[Any]) -> int:
        """Where they begin."""
        ordered = sorted(value, key=lambda one: one.get(self.by, "")) if self.by else value
        places = [self.of.write(builder, one) for one in ordered]
        builder.StartVector(OFFSET_BYTES, len(places), OFFSET_BYTES)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return int(builder.EndVector())


Form = Number | Numbers | Text | Of | Many
LONGS, INTS, FLOATS, EDGES = Numbers(8, 8), Numbers(4, 4), Numbers(4, 4), Numbers(12, 4)
TEXT, TEXTS = Text(), Many(Text())

SCHEMA: Mapping[str, Mapping[str, Form | None]] = {
    "InferenceSession": {
        "ort_version": TEXT,
        "model": Of("Model"),
        "session_state": None,  # of older versions
        "kernel_type_str_resolver": Of("KernelTypeStrResolver"),
    },
    "Model": {
        "ir_version": Number(INT64),
        "opset_import": Many(Of("OperatorSetId"), by="domain"),
        "producer_name": TEXT,
        "producer_version": TEXT,
        "domain": TEXT,
        "model_version": Number(INT64),
        "doc_string": TEXT,
        "graph": Of("Graph"),
        "graph_doc_string": TEXT,
        "metadata_props": Many(Of("StringStringEntry"), by="key"),
    },
    "OperatorSetId": {"domain": TEXT, "version": Number(INT64)},
    "StringStringEntry": {"key": TEXT, "value": TEXT},
    "Graph": {
        "initializers": Many(Of("Tensor"), by="name"),
        "node_args": Many(Of("ValueInfo"), by="name"),
        "nodes": Many(Of("Node")),
        "max_node_index": Number(UINT32),
        "node_edges": Many(Of("NodeEdge")),
        "inputs": TEXTS,
        "outputs": TEXTS,
        "sparse_initializers": Many(Of("SparseTensor")),
        "runtime_optimizations": None,
    },
    "Tensor": {
        "name": TEXT,
        "doc_string": TEXT,
        "dims": LONGS,
        "data_type": Number(INT32),
        "raw_data": Numbers(1, ALIGNMENT),
        "string_data": TEXTS,
        "external_data_offset": Number(INT64, -1),
    },
    "SparseTensor": {"values": Of("Tensor"), "indices": Of("Tensor"), "dims": LONGS},
    "ValueInfo": {"name": TEXT, "doc_string": TEXT, "type": Of("TypeInfo")},
    "TypeInfo": {"denotation": TEXT, "value_type": Number(UINT8), "value": Of("TensorTypeAndShape")},
    "TensorTypeAndShape": {"elem_type": Number(INT32), "shape": Of("Shape")},
    "Shape": {"dim": Many(Of("Dimension"))},
    "Dimension": {"value": Of("DimensionValue"), "denotation": TEXT},
    "DimensionValue": {"dim_type": Number(INT8), "dim_value": Number(INT64), "dim_param": TEXT},
    "Node": {
        "name": TEXT,
        "doc_string": TEXT,
        "domain": TEXT,
        "since_version": Number(INT32),
        "index": Number(UINT32),
        "op_type": TEXT,
        "type": Number(INT32),
        "execution_provider_type": TEXT,
        "inputs": TEXTS,
        "outputs": TEXTS,
        "attributes": Many(Of("Attribute"), by="name"),
        "input_arg_counts": INTS,
        "implicit_inputs": TEXTS,
    },
    "Attribute": {
        "name": TEXT,
        "doc_string": TEXT,
        "type": Number(INT32),
        "f": Number(FLOAT),
        "i": Number(INT64),
        "s": TEXT,
        "t": Of("Tensor"),
        "g": Of("Graph"),
        "floats": FLOATS,
        "ints": LONGS,
        "strings": TEXTS,
        "tensors": Many(Of("Tensor")),
        "graphs": Many(Of("Graph")),
    },
    "NodeEdge": {"node_index": Number(UINT32), "input_edges": EDGES, "output_edges": EDGES},
    "KernelTypeStrResolver": {"op_kernel_type_str_args": Many(Of("OpIdKernelTypeStrArgsEntry"), by="op_id")},
    "OpIdKernelTypeStrArgsEntry": {
        "op_id": TEXT,
        "kernel_type_str_args": Many(Of("KernelTypeStrArgsEntry"), by="kernel_type_str"),
    },
    "KernelTypeStrArgsEntry": {"kernel_type_str": TEXT, "args": Many(Of("ArgTypeAndIndex"))},
    "ArgTypeAndIndex": {"arg_type": Number(INT8), "index": Number(UINT32)},
}
"""Every table's fields in their order; None for those that no file of ours has."""


def unpacked(data: bytes) -> Tree:
    """The file as an InferenceSession; ModelError where it is of another version of the format."""
    if data[OFFSET_BYTES : OFFSET_BYTES + len(IDENTIFIER)] != IDENTIFIER:
        raise _unknown("no .ort file")
    root = Table(bytearray(data), encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))
    tree = _read(root, "InferenceSession")
    if tree.get("ort_version") != VERSION:
        raise _unknown(f"an .ort file of version {tree.get('ort_version')}")
    return tree


def packed(tree: Tree) -> bytes:
    """An InferenceSession as the bytes of a file."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, "InferenceSession", tree), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def labelled(data: bytes, preprocessing: Preprocessing, classes: tuple[str, ...]) -> bytes:
    """The bytes of a file with a card in its metadata."""
    tree = unpacked(data)
    parts = card_parts(Card(preprocessing=preprocessing, classes=classes))
    tree["model"]["metadata_props"] = [{"key": key, "value": text} for key, text in parts.items()]
    return packed(tree)


def _read(table: Table, kind: str) -> Tree:
    fields = list(SCHEMA[kind].items())
    vtable = table.Pos - table.Get(number_types.SOffsetTFlags, table.Pos)
    slots = table.Get(number_types.VOffsetTFlags, vtable) // 2 - HEADER_SLOTS
    if slots > len(fields):
        raise _unknown(f"an .ort file with {slots - len(fields)} more fields of a {kind}")
    tree: Tree = {}
    for slot, (name, form) in enumerate(fields):
        place = table.Offset(2 * (HEADER_SLOTS + slot))
        if place and form is not None:
            tree[name] = form.read(table, table.Pos + place)
        elif place:
            raise _unknown(f"an .ort file with the {name} of a {kind}")
    if kind == "TypeInfo" and tree.get("value_type") != TENSOR_TYPE:
        raise _unknown("an .ort file with a value that is no tensor")
    return tree


def _write(builder: flatbuffers.Builder, kind: str, tree: Tree) -> int:
    fields = list(SCHEMA[kind].items())
    places = {
        name: form.write(builder, tree[name])
        for name, form in fields
        if name in tree and form is not None and not isinstance(form, Number)
    }
    builder.StartObject(len(fields))
    for slot, (name, form) in enumerate(fields):
        if name in places:
            builder.PrependUOffsetTRelativeSlot(slot, places[name], 0)
        elif name in tree and isinstance(form, Number):
            builder.PrependSlot(form.flags, slot, tree[name], form.default)
    return int(builder.EndObject())


def _vector(table: Table, place: int) -> tuple[int, int]:
    """Where the elements of a vector begin, and how many there are."""
    at = table.Indirect(place)
    return at + OFFSET_BYTES, int(table.Get(number_types.UOffsetTFlags, at))


def _unknown(given: str) -> ModelError:
    return ModelError(
        given=given,
        expected=f"the ORT format of version {VERSION}, which galenic knows",
        todo="install the onnxruntime that this galenic was made for, or export for the runtime onnxruntime",
    )
