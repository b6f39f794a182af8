"""Model: a torch module with its spec, its lineage and, where it is quantized or sparse, what of it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from galenic.record.model import ModelSpec
from galenic.record.quant import QuantSpec
from galenic.record.sparsity import Sparsity
from galenic.record.task import Task


@dataclass(frozen=True, eq=False)
class Model:
    """A module that can be built again from its spec; equal only to itself, since its weights change in place.

    Attributes:
        module: takes (batch, *spec.input_shape) float32 (int64 where it has a ``vocabulary``: how many token ids it knows)
            and gives (batch, spec.outputs) logits. At rest in eval mode.
        spec: how it is built.
        lineage: what was done to it, oldest first, as short names (``mobilenet_v3_small``, ``soft_target``).
        quant: what its integers are to be, None for a float model.
        task: the task it was built for, where the caller gave one; it is not stored.
        sparsity: which of its zeros stay, None where no weights were removed.
    """

    module: nn.Module
    spec: ModelSpec
    lineage: tuple[str, ...] = ()
    quant: QuantSpec | None = None
    task: Task | None = None
    sparsity: Sparsity | None = None


def parameters(model: Model) -> int:
    """How many trained numbers the model has; a tensor that is used twice counts once."""
    return sum(tensor.numel() for tensor in model.module.parameters())


def removed_share(model: Model) -> float:
    """Which share of the parameters that were pruned one weight at a time is zero; 0 where there are none."""
    names = model.sparsity.parameters if model.sparsity else ()
    weights = [model.module.get_parameter(name) for name in names]
    return sum(int((one == 0).sum()) for one in weights) / max(1, sum(one.numel() for one in weights))


def example_inputs(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Inputs of that shape on the module's device: zeros, or ones where it takes token ids (zeros would be all padding)."""
    first = next(chain(module.parameters(), module.buffers()), torch.zeros(0))
    if hasattr(module, "vocabulary"):
        return torch.ones(shape, dtype=torch.int64, device=first.device)
    return torch.zeros(shape, dtype=torch.float32, device=first.device)


def weights_hash(model: Model) -> str:
    """The sha256 over names, types, shapes and bytes of all weights and buffers, as 64 hexadecimal digits.

    Neither the device nor the memory layout (channels_last) enters it.
    """
    return state_hash(model.module.state_dict())


def state_hash(state: dict[str, Tensor]) -> str:
    """The sha256 of a state dict, whatever the order of its keys."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
