"""A .tflite file of a few integer operations, written with LiteRT's schema alone."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_micro.python.tflite_micro import runtime

FLOAT, INTEGER, INT32 = schema.TensorType.FLOAT32, schema.TensorType.INT8, schema.TensorType.INT32


class File:
    """A .tflite file that is written an operation at a time; int8 tensors have the grid (0.5, 3) unless another is given."""

    def __init__(self):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]
        self.model.subgraphs = [self.graph]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape, kind=INTEGER, values=None, name="tensor", grid=(0.5, 3)):
        made = schema.TensorT()
        made.shape, made.type, made.buffer, made.name = list(shape), kind, 0, name
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [grid[0]], [grid[1]]
        if values is not None:
            made.buffer = len(self.model.buffers)
            self.model.buffers.append(schema.BufferT())
            self.model.buffers[-1].data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def numbers(self, values):
        """A constant of int32."""
        values = np.array(values, np.int32)
        return self.tensor(values.shape, INT32, values)

    def operation(self, kind, inputs, shape, made=INTEGER, name="made", grid=(0.5, 3), options=None, **fields):
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), [self.tensor(shape, made, name=name, grid=grid)]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)
        return operator.outputs[0]

    def start(self, shape):
        """The input, and its integers."""
        self.graph.inputs = [self.tensor(shape, FLOAT)]
        return self.operation("QUANTIZE", self.graph.inputs, shape)

    def data(self, answer):
        """The bytes of the file that ends with the tensor ``answer``, as float32."""
        shape = self.graph.tensors[answer].shape
        return self.packed(self.operation("DEQUANTIZE", [answer], shape, FLOAT, name="logits"))

    def packed(self, answer):
        """The bytes of the file whose output is the tensor ``answer``."""
        self.graph.outputs = [answer]
        builder = flatbuffers.Builder(0)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def micro(file, answer, values):
    """What TFLite Micro's own kernels answer, flat."""
    interpreter = runtime.Interpreter.from_bytes(file.packed(answer), arena_size=1 << 18)
    interpreter.set_input(values.astype(np.int8), 0)
    interpreter.invoke()
    return interpreter.get_output(0).ravel().astype(int)


def grids(seed):
    """30 pairs of scales and zero points, of an input and an output."""
    random = np.random.default_rng(seed)
    for _ in range(30):
        scale = float(np.float32(random.uniform(0.01, 0.12)))
        narrower = float(np.float32(scale * random.uniform(0.3, 1.0)))
        yield (scale, int(random.integers(-128, 60))), (narrower, int(random.integers(-128, 0)))
