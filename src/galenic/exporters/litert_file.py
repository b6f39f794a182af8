"""The inside of a .tflite file: read as objects, named by modules, and packed again with every weight in place.

Each convolution and dense layer bears its module's path: its output ``blocks.0.dw`` (with what is fused into it, such as a
ReLU), its weights ``blocks.0.dw.weight`` and ``blocks.0.dw.bias``. Every other output bears its module's path and what it
does, such as ``blocks.0/ADD``, and other constants their user's name and position, ``blocks.0/ADD.1``; a name that comes
again gets ``:1``. The input is ``input`` (1, ...), the output ``logits`` (1, classes).

The schema is https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from torch import nn

from galenic.record.card import NAME, Card, card_json
from galenic.record.preprocessing import Preprocessing
from galenic.zoo.graph import unique

INPUT, OUTPUT = "input", "logits"
PRODUCER = b"galenic"
IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # of weights, in bytes: the schema's force_align, which Python's packer leaves out
WEIGHTED_OPS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"})
WEIGHT_POSITION, BIAS_POSITION = 1, 2
FLOAT32 = 0  # TensorType of the schema
GROUPED = ":q"  # behind the name of a weight that is made of groups: its integers
LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True)
class Operation:
    """One operation of a graph, by the names of its tensors.

    Attributes:
        kind: such as ``CONV_2D``.
        inputs: the activations that it takes.
        output: the first that it makes.
        clamp: its fused activation, a number of the schema's ActivationFunctionType; 0 for none.
        constants: the weights and other constants that it takes, by their position.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    clamp: int
    constants: dict[int, Any]

    @property
    def layer(self) -> str:
        """The path of the convolution or dense layer that it is; empty where it is none."""
        if self.kind not in WEIGHTED_OPS or WEIGHT_POSITION not in self.constants:
            return ""
        weight: str = self.constants[WEIGHT_POSITION].name.decode()
        return self.output if self.output != OUTPUT else weight.removesuffix(".weight")


def operations(model: Any) -> list[Operation]:
    """The operations of a file that is named by modules, in the order of computation."""
    graph = model.subgraphs[0]
    found = []
    for kind, operator in zip(kinds(model), graph.operators, strict=True):
        inputs = {place: graph.tensors[number] for place, number in enumerate(operator.inputs) if number >= 0}
        constants = {place: tensor for place, tensor in inputs.items() if is_constant(model, tensor)}
        found.append(
            Operation(
                kind=kind,
                inputs=tuple(tensor.name.decode() for place, tensor in inputs.items() if place not in constants),
                output=graph.tensors[operator.outputs[0]].name.decode(),
                clamp=getattr(operator.builtinOptions, "fusedActivationFunction", 0),
                constants=constants,
            )
        )
    return found


def unpacked(data: bytes) -> Any:
    """The file as a ``ModelT`` of LiteRT's schema; weights that lie behind the flatbuffer are brought into it."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(data)
    for buffer in model.buffers:
        if isinstance(buffer.data, bytes):  # from behind the flatbuffer; packed, only numpy's vectors are aligned
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    return model


def packed(model: Any) -> bytes:
    """A ``ModelT`` as the bytes of a file: the same for the same model, every weight inside, no notes about its making."""
    from ai_edge_litert import schema_py_generated as schema

    model.description = PRODUCER
    model.metadata = model.metadataBuffer = None
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    kept = sorted({tensor.buffer for tensor in tensors if model.buffers[tensor.buffer].data is not None})
    model.buffers = [schema.BufferT(), *(model.buffers[number] for number in kept)]  # the first is empty by the schema
    places = {number: place for place, number in enumerate(kept, 1)}
    for tensor in tensors:
        tensor.buffer = places.get(tensor.buffer, 0)
    return _laid_out(model)


def labelled(data: bytes, preprocessing: Preprocessing, classes: tuple[str, ...]) -> bytes:
    """The bytes of a packed file with a card in its metadata, behind the weights."""
    from ai_edge_litert import schema_py_generated as schema

    model, entry = unpacked(data), schema.MetadataT()
    entry.name, entry.buffer = NAME.encode(), len(model.buffers)
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = np.frombuffer(card_json(Card(preprocessing=preprocessing, classes=classes)), np.uint8)
    model.metadata = [entry]
    return _laid_out(model)


def _laid_out(model: Any) -> bytes:
    builder = _Aligned(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


class _Aligned(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that lays weights (the schema's only vectors of bytes in numpy) at multiples of ALIGNMENT."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        if x.dtype != np.uint8:
            return int(super().CreateNumpyVector(x))
        self.StartVector(1, x.size, ALIGNMENT)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        return int(self.EndVector())


def kinds(model: Any) -> list[str]:
    """What each operator of the graph does, such as ``CONV_2D``, in the order of computation."""
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    codes = [names[max(one.builtinCode, one.deprecatedBuiltinCode)] for one in model.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators]


def name_by_module(model: Any, module: nn.Module) -> None:
    """Rename tensors as the top of this file says, in place, from the names that litert-torch gives them."""
    graph = model.subgraphs[0]
    paths = _Paths(module)
    before = [(tensor.name or b"").decode() for tensor in graph.tensors]
    taken = {INPUT, OUTPUT}
    named = {int(graph.inputs[0]): INPUT, int(graph.outputs[0]): OUTPUT}
    for kind, operator in zip(kinds(model), graph.operators, strict=True):
        inputs, outputs = list(operator.inputs), list(operator.outputs)
        own = ""
        if kind in WEIGHTED_OPS:
            own = paths.layer(before[inputs[WEIGHT_POSITION]]) or paths.layer(before[outputs[0]])
        name = own or f"{paths.innermost(before[outputs[0]])}/{kind}".lstrip("/")
        for tensor in outputs:
            named.setdefault(tensor, unique(name, taken))
        for position, tensor in enumerate(inputs):
            if tensor >= 0 and tensor not in named and is_constant(model, graph.tensors[tensor]):
                named[tensor] = unique(_constant_name(name, own, position), taken)
    for number, tensor in enumerate(graph.tensors):
        tensor.name = named.get(number, f"tensor.{number}").encode()
    graph.name = PRODUCER
    for signature in model.signatureDefs or ():
        for ends, name in ((signature.inputs, INPUT), (signature.outputs, OUTPUT)):
            ends[0].name = name.encode()


def _constant_name(name: str, own: str, position: int) -> str:
    known = {WEIGHT_POSITION: "weight", BIAS_POSITION: "bias"} if own else {}
    return f"{name}.{known.get(position, position)}"


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether a tensor's values are in the file."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


class _Paths:
    """From litert-torch's names to paths of modules.

    It writes each module on the way as its class and its name in its parent, ``nn.Sequential/nn.Sequential_features/nn.Conv2d_0;``,
    leaves out those that are not called themselves (a ModuleList), and joins what it fused.
    """

    def __init__(self, root: nn.Module) -> None:
        self._ways: dict[str, tuple[str, ...]] = {"": (_class(root),)}
        self._modules = dict(root.named_modules())
        for path, module in self._modules.items():
            if path:
                parent, _, own = path.rpartition(".")
                self._ways[path] = (*self._ways[parent], f"{_class(module)}_{own}")

    def layer(self, name: str) -> str:
        """The convolution or dense layer in a name; empty where there is none, or more than one."""
        found = [path for path in self._all(name) if isinstance(self._modules[path], LAYERS)]
        return found[0] if len(found) == 1 else ""

    def innermost(self, name: str) -> str:
        """The deepest module in a name; empty where none is known."""
        return max(self._all(name), key=lambda path: path.count(".") + bool(path), default="")

    def _all(self, name: str) -> list[str]:
        found: list[str] = []
        for part in name.split(";"):
            labels = part.split("/")
            fitting = [path for path, way in self._ways.items() if list(way) == labels]
            fitting = fitting or [p for p, way in self._ways.items() if way[-1] == labels[-1] and _within(labels, way)]
            if len(fitting) == 1 and fitting[0] not in found:
                found.append(fitting[0])
        return found


def _class(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _within(labels: list[str], way: tuple[str, ...]) -> bool:
    """Whether the labels come in ``way``, in their order."""
    rest = iter(way)
    return all(label in rest for label in labels)
