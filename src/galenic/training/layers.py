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
    """A dictionary that forward passes inside the block fill: path -> what that module returned.

    A tensor is copied, since what comes behind may change it in place (the ReLU behind a batch norm).
    """
    seen: dict[str, Any] = {}

    def keep(path: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            seen[path] = output.clone() if isinstance(output, torch.Tensor) else output

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
    try:
        with evaluating(model):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients for a while; each module gets back the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
