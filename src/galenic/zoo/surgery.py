"""Changes of a model's structure that can be done again: channels taken out, layers taken out.

Every change is an entry of ``ModelSpec.history``: a stored model is built, changed in the same way, and then given its weights.
    {"change": "channels", "groups": [[LAYER, OUT, [INDEX ...]] ...]}     OUT: output channels of the layer, else input channels;
                                                                          whatever depends on them goes with them
    {"change": "layers", "paths": [PATH ...]}                             modules whose output is their input from then on
Which channels hang together is found by Torch-Pruning's dependency graph (Fang et al., CVPR 2023, arXiv:2301.12900).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from galenic.record.errors import ModelError
from galenic.zoo.macs import evaluating
from galenic.zoo.model import example_inputs

Group = tuple[str, bool, tuple[int, ...]]
"""A layer, whether its output channels (else its input channels) are taken out, and which: one step of the history."""


class Skip(nn.Module):
    """What stands where a layer was: its first input is its output."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """The input."""
        return x


def dependencies(module: nn.Module, input_shape: tuple[int, ...]) -> Any:
    """Torch-Pruning's graph of which channels hang together.

    Raises:
        ModelError: it cannot be traced.
    """
    import torch_pruning  # only pruned models need it

    example = example_inputs(module, (2, *input_shape))
    try:
        with evaluating(module), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parameters that hang on no layer, which stay as they are
            return torch_pruning.DependencyGraph().build_dependency(module, example_inputs=example)
    except Exception as error:  # Torch-Pruning raises whatever its trace runs into
        raise untraceable(module, error) from error


def untraceable(module: nn.Module, error: Exception) -> ModelError:
    """What to say where the dependency graph fails."""
    why = str(error).strip().splitlines()
    return ModelError(
        given=f"{type(module).__name__}, whose channels cannot be traced ({type(error).__name__}: {why[0][:160] if why else ''})",
        expected="a net whose operations Torch-Pruning's dependency graph follows",
        todo="keep the modules around that operation (keep = [...]), or prune single weights (magnitude) or layers instead",
    )


def remove_channels(module: nn.Module, input_shape: tuple[int, ...], groups: Sequence[Group]) -> None:
    """Take channels out, one group after the other, in place."""
    graph = dependencies(module, input_shape)
    graph.load_pruning_history([[layer, out, list(indices)] for layer, out, indices in groups])


def skip_layers(module: nn.Module, input_shape: tuple[int, ...], paths: Sequence[str]) -> None:  # noqa: ARG001 - as CHANGES has it
    """Put a Skip where each of these modules was, in place."""
    for path in paths:
        parent, _, name = path.rpartition(".")
        module.get_submodule(parent)._modules[name] = Skip()


CHANGES: Mapping[str, tuple[str, Callable[[nn.Module, tuple[int, ...], Any], None]]] = {
    "channels": ("groups", remove_channels),
    "layers": ("paths", skip_layers),
}
"""The name of a change -> the key of what it says, and what does it."""


def redo(module: nn.Module, input_shape: tuple[int, ...], history: Sequence[Mapping[str, Any]]) -> None:
    """Do all changes of a history to a freshly built module, in place.

    Raises:
        ModelError: a change that this version does not know.
    """
    for change in history:
        if change.get("change") not in CHANGES:
            raise ModelError(
                given=f"a model that was changed by '{change.get('change')}' after it was built",
                expected=f"one of {', '.join(CHANGES)}",
                todo="load it with the version of galenic that stored it",
            )
        key, do = CHANGES[change["change"]]
        do(module, input_shape, change[key])
