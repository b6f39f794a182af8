"""A Model on disk: ``weights.safetensors`` and ``model.json`` in one folder; no pickle is written or read.

``model.json`` holds the spec, the lineage, the QuantSpec, the sparsity and the hash of the weights, so that two files which do not
belong together are refused. A tensor that has two names is stored once; ``shared`` keeps the second name.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import QuantSpec
from galenic.record.sparsity import Sparsity
from galenic.store.files import write_bytes, write_text
from galenic.zoo.build import build
from galenic.zoo.model import Model, state_hash
from galenic.zoo.surgery import redo

WEIGHTS_FILE = "weights.safetensors"
SPEC_FILE = "model.json"


class SavedModel(Record):
    """What ``model.json`` says. ``shared``: a second name of a tensor -> the name it is stored under."""

    format_version: int = 1
    spec: ModelSpec
    lineage: tuple[str, ...]
    quant: QuantSpec | None
    sparsity: Sparsity | None = None
    shared: Mapping[str, str]
    weights_sha256: str


def save_model(model: Model, folder: Path) -> Path:
    """Write ``model`` into ``folder``, which is made where it is missing; returns the folder."""
    state = model.module.state_dict()
    shared = shared_names(state)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items() if name not in shared}
    saved = SavedModel(
        spec=model.spec,
        lineage=model.lineage,
        quant=model.quant,
        sparsity=model.sparsity,
        shared=shared,
        weights_sha256=state_hash(state),
    )
    write_bytes(folder / WEIGHTS_FILE, safetensors.torch.save(_apart(kept)))
    write_text(folder / SPEC_FILE, saved.model_dump_json(indent=2))
    return folder


def load_model(folder: Path) -> Model:
    """The Model that ``save_model`` wrote, bit for bit, in eval mode; changes of its structure are done again."""
    saved, state = _read(folder)
    spec = saved.spec
    module = build(spec.architecture, spec.input_shape, spec.outputs, options=spec.options).module
    redo(module, spec.input_shape, spec.history)
    _take_types(module, state)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"{folder}, whose weights do not fit {spec.architecture} as it is built here",
            "the weights of that architecture",
            "build it with the version of the package that it was saved with, and look at the keys by load_weights",
        ) from error
    return Model(module.eval(), spec, saved.lineage, saved.quant, sparsity=saved.sparsity)


def shared_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Second names of one and the same memory -> the first name, in the order of ``state``."""
    first: dict[tuple[Any, ...], str] = {}
    shared: dict[str, str] = {}
    for name, tensor in state.items():
        if tensor.numel() == 0:  # empty tensors all lie at address 0
            continue
        place = (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if place in first:
            shared[name] = first[place]
        else:
            first[place] = name
    return shared


def _apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor with memory of its own, which safetensors asks for; views of one storage are copied."""
    seen: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name, tensor in state.items():
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return apart


def _read(folder: Path) -> tuple[SavedModel, dict[str, Tensor]]:
    expected = f"a folder with the {SPEC_FILE} and {WEIGHTS_FILE} that galenic wrote"
    try:
        saved = SavedModel.model_validate_json((folder / SPEC_FILE).read_bytes())
        state = safetensors.torch.load_file(folder / WEIGHTS_FILE)
    except (OSError, ValidationError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{folder}, which cannot be read: {reason}", expected, "save the model again") from error
    for name, stored in saved.shared.items():
        if stored in state:
            state[name] = state[stored]
    if state_hash(state) != saved.weights_sha256:
        raise ModelError(
            f"{folder / WEIGHTS_FILE}, whose weights are not those that {SPEC_FILE} names by their hash",
            expected,
            "save the model again, both files together",
        )
    return saved, state


def _take_types(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give each parameter and buffer the stored number type; loading would otherwise round it to the built one."""
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        if name in state:
            tensor.data = tensor.data.to(state[name].dtype)
