"""Weights from a file into a built model: safetensors, or a checkpoint for ``torch.load(weights_only=True)``.

Names are matched after (1) taking the weights out of a training checkpoint, (2) dropping the prefixes that wrappers
leave (DistributedDataParallel, torch.compile, Lightning), (3) the architecture's own renames, which turn the keys of
MONAI, timm or torchvision into ours. What is left over is reported, never dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from galenic.record.errors import ModelError
from galenic.zoo.build import find_architecture
from galenic.zoo.model import Model

CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
PREFIXES = ("module.", "_orig_mod.", "model.")
SAFETENSORS_SUFFIX = ".safetensors"
TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")


class Mismatch(NamedTuple):
    """A key that is on both sides with different shapes; the model's own weight was left as it was."""

    name: str
    given: tuple[int, ...]
    expected: tuple[int, ...]


@dataclass(frozen=True)
class WeightsReport:
    """Which keys did not match.

    Attributes:
        missing: names of the model for which the file has nothing; they keep their initial weights.
        unexpected: names of the file that the model does not have.
        mismatched: names on both sides whose shapes differ (a head for another number of classes).
        loaded: how many tensors were taken.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    loaded: int

    @property
    def complete(self) -> bool:
        """Whether every weight of the model came from the file."""
        return not self.missing and not self.mismatched


def load_weights(model: Model, path: Path) -> WeightsReport:
    """Load what matches from ``path`` into ``model.module``, in place, and report what did not.

    Raises:
        ModelError: the file is damaged, is a pickle of more than tensors, holds NaN, or nothing in it matches.
    """
    own = model.module.state_dict()
    given = match_names(_read(path), own, find_architecture(model.spec.architecture).renames)
    fitting = {name: tensor for name, tensor in given.items() if name in own and tensor.shape == own[name].shape}
    if not fitting:
        raise ModelError(
            f"{path}, of whose {len(given)} tensors none fits (the first is {next(iter(given), 'not there')!r})",
            f"weights of {model.spec.architecture}, with names like {next(iter(own), '')!r}",
            "give the file that belongs to this architecture",
        )
    for name, tensor in fitting.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path}, whose tensor {name!r} holds NaN or infinity", "finite weights", "train it again")
    model.module.load_state_dict(fitting, strict=False)
    return WeightsReport(
        missing=tuple(name for name in own if name not in given),
        unexpected=tuple(name for name in given if name not in own),
        mismatched=tuple(
            Mismatch(name, tuple(tensor.shape), tuple(own[name].shape))
            for name, tensor in given.items()
            if name in own and name not in fitting
        ),
        loaded=len(fitting),
    )


def match_names(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], renames: tuple[tuple[str, str], ...] = ()
) -> dict[str, Tensor]:
    """``given`` under the names of ``own``, as far as prefixes and ``renames`` lead there; other names stay."""
    state = dict(given)
    while not any(name in own for name in state) and any(name.startswith(PREFIXES) for name in state):
        state = {_without_prefix(name): tensor for name, tensor in state.items()}
    return {_rename(name, own, renames): tensor for name, tensor in state.items()}


def _without_prefix(name: str) -> str:
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


def _rename(name: str, own: Mapping[str, Tensor], renames: tuple[tuple[str, str], ...]) -> str:
    if name in own:
        return name
    renamed = name
    for pattern, replacement in renames:
        renamed = re.sub(pattern, replacement, renamed)
    return renamed if renamed in own else name


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"{path}, which is not there", "a file of weights", "correct the path")
    if path.suffix == SAFETENSORS_SUFFIX:
        return _read_safetensors(path)
    if path.suffix in TORCH_SUFFIXES:
        return _read_torch(path)
    raise ModelError(
        f"{path}, of the kind {path.suffix or 'none'}",
        f"weights as {SAFETENSORS_SUFFIX}, or a checkpoint as {', '.join(TORCH_SUFFIXES)}",
        "save the weights in one of these formats",
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}, which is damaged: {error}", "a whole safetensors file", "copy or download it again"
        ) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile pickle may raise anything; none of its code has run
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path}, which torch does not load as weights only: {reason}",
            "a whole checkpoint that holds tensors and plain values, no code",
            "save it again with torch.save(model.state_dict(), path), or as .safetensors",
        ) from error
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        content = {}
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
