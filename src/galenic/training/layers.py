"""Modules by their path in a model, and what they return in a forward pass."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from galenic.record.errors import ModelError


def layer_named(model: nn.Module, path: str, whose: str = "the model") -> nn.Module:
    """The module at ``path`` (``features.3.0``); ModelError with the nearest paths where there is none."""
    modules: dict[str, nn.Module] = dict(model.named_modules())
    modules.pop("", None)
    if path in modules:
        return modules[path]
    near = difflib.get_close_matches(path, modules, n=4, cutoff=0.3)
    shallow = [name for name in modules if name.count(".") < 2][:8]
    raise ModelError(
        given=f"the layer '{path}' of {whose}",
        expected=f"the path of one of its modules, such as {', '.join(near or shallow)}",
        todo="`galenic distill RECIPE --suggest` lists pairs of layers that fit",
    )


@contextmanager
def captured(model: nn.Module, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A dictionary that forward passes inside the block fill: path -> what that module returned."""
    seen: dict[str, Any] = {}

    def keep(path: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            seen[path] = output

        return hook

    handles = [layer_named(model, path).register_forward_hook(keep(path)) for path in paths]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def layer_shapes(model: nn.Module, inputs: Any) -> dict[str, tuple[int, ...]]:
    """Path -> shape of one row's output, of every module that returns one tensor, in the order of the forward pass."""
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(path: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                shapes[path] = tuple(output.shape[1:])

        return hook

    handles = [module.register_forward_hook(keep(path)) for path, module in model.named_modules() if path]
    training = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training:
            module.training = mode
    return shapes
