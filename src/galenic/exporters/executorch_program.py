"""A torch module as an ExecuTorch program: exported, lowered to XNNPACK, one row (1, *input_shape) at a time.

A batch of any size would be split into more parts: with it XNNPACK leaves the reshape before the last layer outside.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from typing import Any

import torch

from galenic.record.card import NAME, Card, card_json
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.zoo.model import Model, example_inputs

WEIGHTED_OPS = ("aten.convolution.", "aten.linear.", "aten.addmm.", "aten.mm.")
"""What convolutions and dense layers are in ExecuTorch's own graph."""

INTEGER_OPS = "quantized_decomposed."
"""What rounds to integers and back; the runtime has no kernels for it but XNNPACK's."""


def to_program(model: Model, graph: torch.fx.GraphModule | None = None) -> bytes:
    """The .pte of a model.

    Args:
        model: at rest.
        graph: what computes the same on integers, and is lowered instead of the model's float module.

    Raises:
        ModelError: the module cannot be traced or lowered, has another output than its spec says, or has a convolution or
            dense layer that XNNPACK does not compute.
    """
    try:
        with quiet():
            exported = _exported(model if graph is None else replace(model, module=graph))
            _check_answer(model, exported)
            lowered = _lowered(exported)
            _refuse_left_out(model, lowered.exported_program())
            return bytes(lowered.to_executorch().buffer)
    except ModelError:
        raise
    except Exception as error:  # the errors of torch.export and ExecuTorch share no base class but Exception
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise _refused(
            model,
            f"ExecuTorch cannot lower it ({why[:200]})",
            "a module that torch.export traces, of operations of the core ATen set",
            "take Python branches on values out of its forward, or choose another runtime",
        ) from error


def labelled(data: bytes, preprocessing: Preprocessing, classes: tuple[str, ...]) -> bytes:
    """The bytes of a program with a card as one more of its named blobs, which its method does not read."""
    with quiet():
        from executorch.exir._serialize._named_data_store import NamedDataStoreOutput
        from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary
        from executorch.exir._serialize.data_serializer import DataEntry

        file = deserialize_pte_binary(data)
        blobs = file.named_data or NamedDataStoreOutput(buffers=[], pte_data={}, external_data={})
        blobs.pte_data[NAME] = DataEntry(buffer_index=len(blobs.buffers), alignment=1, tensor_layout=None)
        blobs.buffers.append(card_json(Card(preprocessing=preprocessing, classes=classes)))
        file.named_data = blobs
        return bytes(serialize_pte_binary(file, extract_delegate_segments=True))


def _exported(model: Model) -> torch.export.ExportedProgram:
    example = example_inputs(model.module, (1, *model.spec.input_shape))
    # What it cannot trace torch also prints, with local paths; the reason is in the error as well.
    with torch.no_grad(), redirect_stderr(io.StringIO()):
        return torch.export.export(model.module, (example,))


def _lowered(exported: torch.export.ExportedProgram) -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    return to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing below an error is logged or warned of.

    ExecuTorch and torchao log which of their libraries are for other machines, warn of what torch has deprecated, and
    give the root logger a handler of their own.
    """
    handlers, level, disabled = list(logging.root.handlers), logging.root.level, logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


def _check_answer(model: Model, exported: torch.export.ExportedProgram) -> None:
    answers = [node.meta["val"] for node in exported.graph.output_node().args[0]]
    if len(answers) != 1:
        raise _refused(model, f"it answers {len(answers)} tensors", "one tensor of logits", "wrap it")
    expected, shape = (1, model.spec.outputs), tuple(answers[0].shape)
    if answers[0].dtype != torch.float32 or shape != expected:
        raise _refused(
            model,
            f"it answers {str(answers[0].dtype).removeprefix('torch.')} of shape {shape}",
            f"float32 of shape {expected}",
            "correct the model's last layer",
        )


def _refuse_left_out(model: Model, lowered: torch.export.ExportedProgram) -> None:
    """ModelError that names the layers which are not XNNPACK's: what is left has slow reference kernels, if any."""
    left = [
        _module_path(node)
        for module in lowered.graph_module.modules()
        if isinstance(module, torch.fx.GraphModule)
        for node in module.graph.nodes
        if node.op == "call_function" and _op_name(node).startswith((*WEIGHTED_OPS, INTEGER_OPS))
    ]
    if left:
        raise _refused(
            model,
            f"XNNPACK does not compute {', '.join(left[:6])}{' ...' if len(left) > 6 else ''}",
            "convolutions over one or two dimensions, and dense layers",
            "choose another runtime for it",
        )


def _op_name(node: torch.fx.Node) -> str:
    """Such as ``aten.convolution.default``, of torch's own operation where ExecuTorch wraps it."""
    return str(getattr(node.target, "_op", node.target))


def _module_path(node: torch.fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack and stack[-1][0] else node.name


def _refused(model: Model, why: str, expected: str, todo: str) -> ModelError:
    return ModelError(f"{model.spec.architecture} cannot become an ExecuTorch file: {why}", expected, todo)
