"""Masks of weights: 1 where a weight stays, 0 where it was removed, by the parameter's name.

    weight = mask * weight          after every step, and the gradient of a removed weight is 0
A mask is not stored: a removed weight is zero, so the mask of a model is read off its weights (``masks_of``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from galenic.record.errors import ModelError
from galenic.record.quant import matches
from galenic.record.sparsity import Sparsity
from galenic.training.callbacks import Callback, State
from galenic.zoo.model import Model

Masks = Mapping[str, Tensor]
"""By the parameter's name, of its shape: bool, True where the weight stays."""

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""All of them have their output channels first. Transposed convolutions, which do not, stay dense."""


def prunable(model: Model, keep: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """The weights of convolutions and dense layers by name, without those that ``keep`` names.

    A weight that several layers share comes once, and not at all where one of them is kept or is of another kind (an embedding).

    Raises:
        ModelError: a pattern matches no layer, or nothing is left.
    """
    layers = {path: one for path, one in model.module.named_modules() if isinstance(one, LAYERS)}
    refuse_unknown(keep, list(layers), model.spec.architecture)
    free = {f"{path}.weight" for path in layers if not any(matches(pattern, path) for pattern in keep)}
    names: dict[nn.Parameter, list[str]] = {}
    for name, weight in model.module.named_parameters(remove_duplicate=False):
        names.setdefault(weight, []).append(name)
    found = {those[0]: weight for weight, those in names.items() if free.issuperset(those)}
    if not found:
        raise ModelError(
            given=f"{model.spec.architecture}, in which no layer is left to prune",
            expected="a convolution or a dense layer that keep does not name, before qat has made a graph of them",
            todo="shorten keep; in one phase with qat, name the method that prunes first",
        )
    return found


def refuse_unknown(keep: Sequence[str], paths: Sequence[str], architecture: str) -> None:
    """Raise ModelError for a pattern that matches none of these module paths."""
    for pattern in keep:
        if not any(matches(pattern, path) for path in paths):
            raise ModelError(
                given=f"keep = '{pattern}', which no layer of {architecture} matches",
                expected=f"a pattern of module paths, such as {', '.join([*paths[:3], *paths[3:][-1:]])}",
                todo="correct the pattern; * stands for anything",
            )


def refuse_pruning(model: Model, what: str) -> None:
    """Raise ModelError where a model is quantized: its integers were found for the weights that it has."""
    if model.quant is not None:
        raise ModelError(
            given=f"{what} of a model that is quantized ({' + '.join(model.lineage)})",
            expected="a float model",
            todo="prune first, then quantize: the masks are held",
        )


def masks_before(model: Model, names: Iterable[str]) -> dict[str, Tensor]:
    """What an earlier pruning left of the named parameters: all of those that it did not touch, zeros or not."""
    pruned = model.sparsity.parameters if model.sparsity else ()
    return {
        name: weight.detach() != 0 if name in pruned else torch.ones_like(weight, dtype=torch.bool)
        for name, weight in ((name, model.module.get_parameter(name)) for name in names)
    }


def masks_of(module: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """Where the named parameters are not zero."""
    return {name: module.get_parameter(name).detach() != 0 for name in names}


@torch.no_grad()
def apply_masks(module: nn.Module, masks: Masks) -> None:
    """Set removed weights to zero, in place."""
    for weight, mask in _pairs(module, masks):
        weight.masked_fill_(~mask, 0.0)  # a product would make zeros of two signs


def hold(masks: Masks) -> Callback:
    """Removed weights get no gradient and are zero after every step, and in the average that the training ends with.

    The masks may change in place while it is trained, and are kept with its checkpoints.
    """

    def without_gradient(state: State) -> None:
        for weight, mask in _pairs(state.model, masks):
            if weight.grad is not None:
                weight.grad.masked_fill_(~mask, 0.0)

    def zero_again(state: State) -> None:
        apply_masks(state.model, masks)

    return Callback(gradients_ready=without_gradient, step_taken=zero_again, trained=zero_again, remembered=masks)


def sparse_model(
    model: Model, names: Iterable[str], *, training_flops: float | None = None, notes: Sequence[str] = ()
) -> Model:
    """The model with these parameters, and those of an earlier pruning, as ones whose zeros stay."""
    before = model.sparsity
    every = tuple(dict.fromkeys((*(before.parameters if before else ()), *names)))
    notes = tuple(dict.fromkeys((*(before.notes if before else ()), *notes)))
    if training_flops is None and before is not None:
        training_flops = before.training_flops
    return replace(model, sparsity=Sparsity(parameters=every, training_flops=training_flops, notes=notes))


def _pairs(module: nn.Module, masks: Masks) -> Iterator[tuple[nn.Parameter, Tensor]]:
    for name, mask in masks.items():
        weight = module.get_parameter(name)
        yield weight, mask.to(weight.device)
