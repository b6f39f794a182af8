"""The two ends of every export: what is refused before it starts, and the file with its Artifact."""

from __future__ import annotations

import copy
import hashlib
import inspect
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch

from galenic.record.artifact import Artifact, IntegerOps
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.quant import QuantSpec
from galenic.store.files import write_bytes
from galenic.zoo.macs import count_macs
from galenic.zoo.model import Model, parameters, weights_hash


@dataclass(frozen=True)
class Lowered:
    """A model as the bytes of a file, with what its integers are; ``stored_bytes`` as Artifact has it."""

    data: bytes
    precision: str
    quant: QuantSpec | None = None
    integer_ops: IntegerOps | None = None
    stored_bytes: int | None = None


def check_ends(model: Model, preprocessing: Preprocessing, classes: tuple[str, ...]) -> None:
    """ModelError unless the model is at rest, takes what ``preprocessing`` gives and has one output per class.

    It takes that as one input, and computes on it in float32.
    """
    if any(part.training for part in model.module.modules()):
        raise ModelError(
            given=f"{model.spec.architecture} cannot become a file: it is in training mode",
            expected="a model at rest",
            todo="call module.eval() first",
        )
    if model.spec.input_shape != preprocessing.input_shape:
        raise ModelError(
            given=f"{model.spec.architecture} takes inputs of shape {model.spec.input_shape}",
            expected=f"{preprocessing.input_shape}, which is what the preprocessing gives",
            todo="build the model for this task",
        )
    if model.spec.outputs != len(classes):
        raise ModelError(
            given=f"{model.spec.architecture} has {model.spec.outputs} outputs",
            expected=f"{len(classes)}: one for each of {', '.join(classes)}",
            todo="build the model for this task",
        )
    _check_inputs(model)
    _check_numbers(model)


def resting(model: Model) -> Model:
    """A copy in this machine's memory, every tensor contiguous: another layout (channels_last) would give another file."""
    module = copy.deepcopy(model.module).cpu()
    for tensor in chain(module.parameters(), module.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return replace(model, module=module)


def check_weights(model: Model) -> None:
    """ModelError unless a quantized model's points are those of its weights as they are now."""
    assert model.quant is not None
    if not model.quant.points or model.quant.weights_hash != weights_hash(model):
        raise ModelError(
            given=f"a quantization of {model.spec.architecture} "
            + ("for other weights" if model.quant.points else "without any scale"),
            expected="the points that were found for these weights",
            todo="quantize the model anew: gx.quantize, or a phase of a recipe",
        )


def write_file(
    model: Model, path: Path, lowered: Lowered, *, runtime: str, preprocessing: Preprocessing, classes: tuple[str, ...]
) -> Artifact:
    """Write a lowered model to ``path``: whole, or not at all."""
    write_bytes(path, lowered.data)
    return Artifact(
        path=path,
        runtime=runtime,
        precision=lowered.precision,
        sha256=hashlib.sha256(lowered.data).hexdigest(),
        size_bytes=len(lowered.data),
        lineage=model.lineage,
        preprocessing=preprocessing,
        classes=classes,
        macs=count_macs(model),
        parameters=parameters(model),
        quant=lowered.quant,
        integer_ops=lowered.integer_ops,
        stored_bytes=lowered.stored_bytes,
    )


def _check_inputs(model: Model) -> None:
    given = inspect.signature(model.module.forward).parameters.values()
    needed = [
        one.name for one in given if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        raise ModelError(
            given=f"{model.spec.architecture} cannot become a file: its forward takes {len(needed)} inputs ({', '.join(needed)})",
            expected="a model with one input",
            todo="wrap it in a module whose forward takes one tensor and makes the others of it",
        )


def _check_numbers(model: Model) -> None:
    named = chain(model.module.named_parameters(), model.module.named_buffers())
    others = [
        (name, tensor.dtype) for name, tensor in named if tensor.is_floating_point() and tensor.dtype != torch.float32
    ]
    if others:
        name, kind = others[0]
        further = f", and {len(others) - 1} more are no float32" if len(others) > 1 else ""
        raise ModelError(
            given=f"{model.spec.architecture} cannot become a file: {name} is {str(kind).removeprefix('torch.')}{further}",
            expected="float32 parameters and buffers",
            todo="call module.float() first; a method of quantization makes smaller numbers of them",
        )
