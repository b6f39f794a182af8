"""A torch module as a plain ONNX graph: batch norm folded, named by its modules, nothing of this machine in it.

Each convolution and dense layer (node and output tensor) bears its module's path, such as ``blocks.0.dw.0``; every
other one bears its module's path and what it does, such as ``blocks.0/Add``; a name that comes again gets ``:1``.
The input is ``input`` (batch, ...), the output ``logits`` (batch, classes); the batch is of any size.
"""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from onnx import GraphProto, ModelProto, NodeProto

from galenic.record.card import Card, card_parts
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.zoo.graph import unique
from galenic.zoo.model import Model, example_inputs

OPSET = 20
INPUT, OUTPUT = "input", "logits"
WEIGHTED_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
NAME_SCOPES = "pkg.torch.onnx.name_scopes"
PRODUCER = "galenic"
MOST_BYTES = 2**31 - 1  # protobuf's limit for one message


def to_graph(model: Model, opset: int = OPSET) -> ModelProto:
    """The float graph of a model, checked, of ONNX's operations of that version.

    Raises:
        ModelError: the module cannot be traced, or has another output than its spec says.
    """
    graph = _traced(model, opset)
    if graph.functions or any(attribute.HasField("g") for node in graph.graph.node for attribute in node.attribute):
        raise _refused(
            model, "its graph has branches or loops", "a plain graph", "take data-dependent control flow out"
        )
    name_by_module(graph.graph)
    strip(graph)
    _check_answer(model, graph.graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def weighted_nodes(graph: GraphProto) -> list[NodeProto]:
    """The convolutions and dense layers: those whose second input is a constant of the file."""
    constants = {tensor.name for tensor in graph.initializer}
    return [node for node in graph.node if node.op_type in WEIGHTED_OPS and node.input[1] in constants]


def name_by_module(graph: GraphProto) -> None:
    """Rename nodes and the tensors between them as the top of this file says, in place."""
    taken = {end.name for end in (*graph.input, *graph.output, *graph.initializer)}
    kept = set(taken)
    weighted = {node.name for node in weighted_nodes(graph)}
    renamed: dict[str, str] = {}
    for node in graph.node:
        path = _module_path(node)
        own = node.name in weighted and path
        node.name = unique(path if own else f"{path}/{node.op_type}".lstrip("/"), taken)
        for number, tensor in enumerate(node.output):
            if tensor and tensor not in kept:
                renamed[tensor] = node.name if number == 0 else unique(node.name, taken)
    for node in graph.node:
        node.input[:] = [renamed.get(tensor, tensor) for tensor in node.input]
        node.output[:] = [renamed.get(tensor, tensor) for tensor in node.output]
    for info in graph.value_info:
        info.name = renamed.get(info.name, info.name)


def strip(model: ModelProto) -> None:
    """Take out everything that is not the model: stack traces with local paths, notes, what tool made it, in place."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.name = PRODUCER
    model.producer_name = PRODUCER
    model.ClearField("producer_version")


def serialized(model: ModelProto) -> bytes:
    """The same bytes for the same graph; intermediate shapes are left out, a runtime infers them."""
    lean = ModelProto()
    lean.CopyFrom(model)
    lean.graph.ClearField("value_info")
    if lean.ByteSize() > MOST_BYTES:
        raise ModelError(
            given=f"a model of {lean.ByteSize()} bytes",
            expected="at most 2 GB: an ONNX file with everything in it cannot hold more",
            todo="choose a smaller model",
        )
    data: bytes = lean.SerializeToString(deterministic=True)
    return data


def labelled(data: bytes, preprocessing: Preprocessing, classes: tuple[str, ...]) -> bytes:
    """The bytes of a file with a card in its metadata. Two protobuf messages in a row are one: no field is parsed for it."""
    card = Card(preprocessing=preprocessing, classes=classes)
    entries = (onnx.StringStringEntryProto(key=key, value=text) for key, text in sorted(card_parts(card).items()))
    added: bytes = ModelProto(metadata_props=entries).SerializeToString(deterministic=True)
    return data + added


@contextmanager
def _no_word_of_torchvision() -> Iterator[None]:
    """Torch's exporter logs each operator of torchvision, which is not installed and not needed, as a warning."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _traced(model: Model, opset: int) -> ModelProto:
    example = example_inputs(model.module, (2, *model.spec.input_shape))
    try:
        with warnings.catch_warnings(), _no_word_of_torchvision():
            # torch's own copying of pytrees asks for what torch has deprecated
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            program = torch.onnx.export(
                model.module,
                (example,),
                dynamo=True,
                external_data=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    except Exception as error:  # the exporter's errors share no base class but Exception
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise _refused(
            model,
            f"torch cannot trace it ({why[:200]})",
            "a module that torch.export traces with any batch size",
            "take Python branches on values or on the batch size out of its forward",
        ) from error
    if program is None:
        raise _refused(model, "torch gave no graph", "a graph", "report this")
    traced: ModelProto = program.model_proto
    return traced


def _module_path(node: NodeProto) -> str:
    """The path of the module that a node came from; where batch norm was folded in, the weight's name is the surer."""
    weight = str(node.input[1]) if node.op_type in WEIGHTED_OPS and len(node.input) > 1 else ""
    if weight.endswith(".weight"):
        return weight.removesuffix(".weight")
    for entry in node.metadata_props:
        if entry.key == NAME_SCOPES:
            scopes = ast.literal_eval(entry.value)
            return str(scopes[-2]) if len(scopes) > 1 else ""
    return ""


def _check_answer(model: Model, graph: GraphProto) -> None:
    if len(graph.output) != 1:
        raise _refused(model, f"it answers {len(graph.output)} tensors", "one tensor of logits", "wrap it")
    answer = graph.output[0].type.tensor_type
    sides = [side.dim_value or "batch" for side in answer.shape.dim]
    if answer.elem_type != onnx.TensorProto.FLOAT or sides != ["batch", model.spec.outputs]:
        raise _refused(
            model,
            f"it answers {onnx.TensorProto.DataType.Name(answer.elem_type)} of shape {tuple(sides)}",
            f"FLOAT of shape ('batch', {model.spec.outputs})",
            "correct the model's last layer",
        )


def _refused(model: Model, why: str, expected: str, todo: str) -> ModelError:
    return ModelError(f"{model.spec.architecture} cannot become an ONNX file: {why}", expected, todo)
