"""What SET and RigL share: a net that is sparse from its first step, and whose mask moves while it is trained.

    t = 0                     a random mask with the densities of a distribution (densities.py)
    every ``every_steps``     per layer: the share f(t) of its weights with the lowest |w| is dropped, and as many are grown where
                              the growth score is highest; that step changes the masks instead of the weights
    f(t) = share (1 + cos(pi t / T)) / 2                       T = ``until`` of the training; then the mask stays
A weight that is grown starts at zero with an empty momentum. One that is dropped and grown at once keeps its value, as in the
reference implementation (google-research/rigl). Evci et al., ICML 2020 (arXiv:1911.11134), algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from galenic.compress.densities import DENSITIES, Distribution
from galenic.compress.masks import apply_masks, hold, prunable, refuse_pruning, sparse_model
from galenic.compress.method import Bench, Contribution
from galenic.compress.sparse_work import Work
from galenic.compress.thresholds import highest
from galenic.record.errors import ModelError
from galenic.training.callbacks import Callback, State
from galenic.zoo.model import Model

Grow = Callable[[nn.Parameter, torch.Generator], Tensor]
"""The growth score of every weight of a layer, from its dense gradient or drawn; only removed weights are looked at."""


@dataclass(frozen=True)
class Moves:
    """How a mask moves.

    Attributes:
        grow: the growth score.
        share: of a layer's weights that are moved at first.
        every_steps: how many steps lie between two moves.
        until: the share of the training after which the mask stays.
        looks_at_gradients: whether the score needs the gradients of weights that are not there.
    """

    grow: Grow
    share: float
    every_steps: int
    until: float
    looks_at_gradients: bool

    def due(self, step: int, steps: int) -> float:
        """The share of weights that this step (counted from zero) moves; 0 where it is a step like others."""
        end = self.until * steps
        last = step == steps - 1  # what grows then would never be trained
        if step == 0 or last or step >= end or step % self.every_steps:
            return 0.0
        return self.share * (1 + math.cos(math.pi * step / end)) / 2


def random_masks(
    model: Model, names: Sequence[str], density: float, distribution: Distribution, seed: int
) -> dict[str, Tensor]:
    """A mask of every named weight, drawn, with the density that the distribution gives its layer; one weight at least."""
    shapes = {name: tuple(model.module.get_parameter(name).shape) for name in names}
    generator = torch.Generator().manual_seed(seed)
    return {
        name: highest(torch.rand(shapes[name], generator=generator), max(1, round(share * math.prod(shapes[name]))))
        for name, share in DENSITIES[distribution](shapes, density).items()
    }


def moved(
    weight: Float[Tensor, "..."], mask: Bool[Tensor, "..."], growth: Float[Tensor, "..."], count: int
) -> Bool[Tensor, "..."]:
    """The mask after ``count`` of the smallest weights were dropped and as many grown by the highest growth score.

    A weight that was just dropped may grow again; one that stays is not looked at.
    """
    left = highest(weight.abs().masked_fill(~mask, -torch.inf), int(mask.sum()) - count)
    grown = highest(growth.masked_fill(left, -torch.inf), count)
    return left | grown


def sparse_training(
    model: Model,
    bench: Bench,
    sparsity: float,
    distribution: Distribution,
    keep: tuple[str, ...] = (),
    moves: Moves | None = None,
) -> Contribution:
    """A training from a random mask of that sparsity, which moves, or stays where there are no moves."""
    refuse_sparse(model, keep)
    names = list(prunable(model, keep))
    masks = random_masks(model, names, 1 - sparsity, distribution, bench.seed)
    apply_masks(model.module, masks)
    work = Work(model, names)

    def look(state: State) -> None:
        share = moves.due(state.step, state.steps) if moves else 0.0
        work.add(masks, dense_gradient=bool(share) and moves is not None and moves.looks_at_gradients)
        if moves is None or not share:
            return
        generator = torch.Generator().manual_seed(bench.seed * 1_000_003 + state.step)
        for name, mask in masks.items():
            weight = state.model.get_parameter(name)
            count = min(round(share * int(mask.sum())), mask.numel() - int(mask.sum()))
            growth = moves.grow(weight, generator).cpu()
            now = moved(weight.detach().cpu(), mask, growth, count)
            forget_momentum(state.optimizer, weight, now & ~mask)
            mask.copy_(now)
        for group in state.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None  # the optimizer passes over it: this step moves the mask alone

    def finish(trained: Model) -> Model:
        return sparse_model(trained, names, training_flops=work.share)

    callback = Callback(gradients_ready=look, remembered=work.remembered)
    return Contribution(model, callbacks=(callback, hold(masks)), finish=finish)


def forget_momentum(optimizer: torch.optim.Optimizer, weight: nn.Parameter, grown: Bool[Tensor, "..."]) -> None:
    """Empty what the optimizer remembers of weights that were not there."""
    for value in optimizer.state.get(weight, {}).values():
        if isinstance(value, Tensor) and value.shape == weight.shape:
            value.masked_fill_(grown.to(value.device), 0.0)


def refuse_sparse(model: Model, keep: tuple[str, ...]) -> None:
    """Raise ModelError for a model that is quantized or pruned, and for a pattern that matches no layer."""
    refuse_pruning(model, "sparse training")
    prunable(model, keep)
    if model.sparsity is not None:
        raise ModelError(
            given=f"sparse training of a model that is pruned already ({' + '.join(model.lineage)})",
            expected="a dense model: a mask that moves would bring removed weights back",
            todo="leave out the pruning before it, or train with a method that holds masks, such as supervised",
        )
