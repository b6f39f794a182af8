"""A zipped .mlpackage of one dense layer whose numbers are known, written with coremltools' protobuf messages alone."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from dense_layer import BIAS, WEIGHTS
from galenic.exporters.coreml_program import import_coremltools, quiet

with quiet():
    import_coremltools()
    from coremltools.proto import MIL_pb2 as mil
    from coremltools.proto import Model_pb2

ROOT = "dense.mlpackage"
MODEL, BLOB = "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"
MANIFEST = {
    "fileFormatVersion": "1.0.0",
    "itemInfoEntries": {
        "A": {"author": "com.apple.CoreML", "description": "", "name": "model.mlmodel", "path": MODEL[5:]},
        "B": {"author": "com.apple.CoreML", "description": "", "name": "weights", "path": "com.apple.CoreML/weights"},
    },
    "rootModelIdentifier": "A",
}


def tensor_type(shape: tuple[int, ...], kind: int = mil.FLOAT32) -> mil.ValueType:
    sides = [mil.Dimension(constant=mil.Dimension.ConstantDimension(size=side)) for side in shape]
    return mil.ValueType(tensorType=mil.TensorType(dataType=kind, rank=len(shape), dimensions=sides))


def in_blob(shape: tuple[int, ...], offset: int, name: str = "@model_path/weights/weight.bin") -> mil.Value:
    where = mil.Value.BlobFileValue(fileName=name, offset=offset)
    return mil.Value(type=tensor_type(shape), blobFileValue=where)


def immediate(values: np.ndarray) -> mil.Value:
    floats = mil.TensorValue(floats=mil.TensorValue.RepeatedFloats(values=values.reshape(-1).tolist()))
    return mil.Value(type=tensor_type(values.shape), immediateValue=mil.Value.ImmediateValue(tensor=floats))


def constant(name: str, value: mil.Value) -> mil.Operation:
    return mil.Operation(
        type="const", attributes={"val": value}, outputs=[mil.NamedValueType(name=name, type=value.type)]
    )


def operation(kind: str, name: str, shape: tuple[int, ...], **taken: str) -> mil.Operation:
    inputs = {key: mil.Argument(arguments=[mil.Argument.Binding(name=value)]) for key, value in taken.items()}
    return mil.Operation(type=kind, inputs=inputs, outputs=[mil.NamedValueType(name=name, type=tensor_type(shape))])


def model(
    operations: list[mil.Operation], inputs: Mapping[str, mil.ValueType], outputs: tuple[str, ...] = ("logits",)
) -> bytes:
    block = mil.Block(operations=operations, outputs=outputs)
    entries = [mil.NamedValueType(name=name, type=kind) for name, kind in inputs.items()]
    function = mil.Function(inputs=entries, opset="CoreML5", block_specializations={"CoreML5": block})
    program = mil.Program(version=1, functions={"main": function})
    data: bytes = Model_pb2.Model(specificationVersion=6, mlProgram=program).SerializeToString(deterministic=True)
    return data


def dense_operations(batch: int = 1, weight: mil.Value | None = None) -> list[mil.Operation]:
    """Inputs @ WEIGHTS.T + BIAS; the weight lies in the blob, the bias in the message."""
    return [
        constant("weight", in_blob((2, 3), 64) if weight is None else weight),
        constant("bias", immediate(BIAS)),
        operation("linear", "logits", (batch, 2), x="input", weight="weight", bias="bias"),
    ]


def blob(values: np.ndarray = WEIGHTS) -> bytes:
    head = struct.pack("<II", 1, 2).ljust(64, b"\0")
    return head + struct.pack("<IIQQQ", 0xDEADBEEF, 2, values.nbytes, 128, 0).ljust(64, b"\0") + values.tobytes()


def zipped(parts: Mapping[str, bytes], packing: int = zipfile.ZIP_STORED, root: str = f"{ROOT}/") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", packing) as file:
        for name, data in parts.items():
            file.writestr(f"{root}{name}", data)
    return target.getvalue()


def parts(model_data: bytes | None = None, batch: int = 1) -> dict[str, bytes]:
    whole = model(dense_operations(batch), {"input": tensor_type((batch, 3))}) if model_data is None else model_data
    return {"Manifest.json": json.dumps(MANIFEST).encode(), MODEL: whole, BLOB: blob()}


def dense(batch: int = 1) -> bytes:
    return zipped(parts(batch=batch))
