"""A .tflite file of one dense layer whose numbers are known, written with the schema alone."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from dense_layer import BIAS, WEIGHTS


def dense(batch: int = 1, weights: np.ndarray = WEIGHTS, kind: int = schema.TensorType.FLOAT32) -> bytes:
    """``batch`` rows at a time: inputs @ weights.T + BIAS."""
    classes, features = weights.shape
    model = schema.ModelT()
    model.version = 3
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    model.operatorCodes = [code]
    model.buffers = [schema.BufferT() for _ in range(3)]
    model.buffers[1].data = np.frombuffer(weights.tobytes(), np.uint8)
    model.buffers[2].data = np.frombuffer(BIAS[:classes].tobytes(), np.uint8)
    graph = schema.SubGraphT()
    graph.tensors = []
    ends = (("input", [batch, features], 0), ("weights", [classes, features], 1), ("bias", [classes], 2))
    for name, shape, buffer in (*ends, ("logits", [batch, classes], 0)):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer, tensor.type = name, shape, buffer, kind
        graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, 2], [3]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [3]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def signed(data: bytes, weights: str = "weights") -> bytes:
    """The same file with a signature, which ai-edge-quantizer needs, and another name for its weights."""
    model = schema.ModelT.InitFromPackedBuf(data)
    ends = {"inputs": ("input", 0), "outputs": ("logits", 3)}
    signature = schema.SignatureDefT()
    for end, (name, number) in ends.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, number
        setattr(signature, end, [entry])
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    model.signatureDefs = [signature]
    model.subgraphs[0].tensors[1].name = weights
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def behind(data: bytes) -> bytes:
    """The same file with its weights behind the flatbuffer, as ai-edge-quantizer lays large ones."""
    model = schema.ModelT.InitFromPackedBuf(data)
    model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 4096, WEIGHTS.nbytes
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    head = bytes(builder.Output())
    return head.ljust(4096, b"\0") + WEIGHTS.tobytes()
