"""A torch module as a float32 .tflite file: traced, converted by litert-torch, named by its modules.

The input stays channels first, (1, channel, height, width): the file transposes where its kernels want it otherwise, until
``litert_layout`` takes that out.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx, nn

from galenic.exporters.litert_file import FLOAT32, LAYERS, name_by_module, packed, unpacked
from galenic.record.errors import ModelError
from galenic.record.quiet import streams_gathered
from galenic.zoo.graph import layers, parameter
from galenic.zoo.model import Model, example_inputs

PROGRESS = "LITERT_TORCH_SHOW_PROGRESS"  # the variable that litert-torch reads whenever it would print a step


def to_flatbuffer(model: Model) -> bytes:
    """The float32 file of a model, for one row at a time.

    Raises:
        ModelError: the module cannot be traced or converted, or has another output than its spec says.
    """
    converted = unpacked(_converted(model))
    _check_answer(model, converted)
    name_by_module(converted, model.module)
    return packed(converted)


def with_biases(model: Model, graph: fx.GraphModule) -> Model:
    """The same net with each folded batch norm as the bias of the layer before it.

    litert-torch puts what turns an axis between a one-dimensional convolution and its batch norm, and then does not join them.

    Args:
        model: folded.
        graph: of the same model (``galenic.zoo.graph.traced``).
    """
    module = deepcopy(model.module)
    for node in layers(graph).values():
        weight, bias = parameter(node, 1), parameter(node, 2)
        if weight is None or bias is None:
            continue
        (path, _, _), (norm, _, _) = weight.rpartition("."), bias.rpartition(".")
        layer = module.get_submodule(path)
        if norm != path and isinstance(layer, LAYERS):
            layer.bias = nn.Parameter(model.module.get_parameter(bias).detach().clone())
            parent, _, own = norm.rpartition(".")
            setattr(module.get_submodule(parent), own, nn.Identity())
    return replace(model, module=module.eval())


def _converted(model: Model) -> bytes:
    example = example_inputs(model.module, (1, *model.spec.input_shape))
    try:
        with silence():
            import litert_torch

            data = litert_torch.convert(model.module, (example,)).model_content()
    except Exception as error:  # the converter's errors share no base class but Exception
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise _refused(
            model,
            f"litert-torch cannot convert it ({why[:200]})",
            "a module that torch.export traces, of operations that LiteRT has",
            "take Python branches on values out of its forward, or choose another runtime",
        ) from error
    return bytes(data)


@contextmanager
def silence() -> Iterator[None]:
    """LiteRT's tools, and what they import, log to both streams, warn, and give the root logger a handler of their own."""
    handlers, disabled, shown = list(logging.root.handlers), logging.root.manager.disable, os.environ.get(PROGRESS)
    os.environ[PROGRESS] = "n"
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), streams_gathered():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers
        os.environ.pop(PROGRESS)
        if shown is not None:
            os.environ[PROGRESS] = shown


def _check_answer(model: Model, converted: Any) -> None:
    graph = converted.subgraphs[0]
    if len(converted.subgraphs) != 1:
        raise _refused(
            model, "its graph has branches or loops", "a plain graph", "take data-dependent control flow out"
        )
    if len(graph.outputs) != 1:
        raise _refused(model, f"it answers {len(graph.outputs)} tensors", "one tensor of logits", "wrap it")
    answer, expected = graph.tensors[graph.outputs[0]], (1, model.spec.outputs)
    shape = tuple(np.atleast_1d(answer.shape).tolist())
    if answer.type != FLOAT32 or shape != expected:
        raise _refused(
            model,
            f"it answers {'float32' if answer.type == FLOAT32 else 'another type'} of shape {shape}",
            f"float32 of shape {expected}",
            "correct the model's last layer",
        )


def _refused(model: Model, why: str, expected: str, todo: str) -> ModelError:
    return ModelError(f"{model.spec.architecture} cannot become a LiteRT file: {why}", expected, todo)
