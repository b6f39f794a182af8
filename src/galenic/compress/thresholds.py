"""Which weights stay, given a score for each of them: the higher the score, the longer a weight stays.

    global      the lowest scores of the whole net go, whatever their layers
    deviation   the lowest of score / standard deviation of the layer's weights go: one threshold per layer, q std (Han et al.,
                NeurIPS 2015, arXiv:1506.02626), with the q for which the whole has the sparsity that is asked for
    uniform     every layer loses the same share
    erk         every layer loses a share by its shape (densities.py)
    top_k       every output channel keeps its k highest scores, k = round(density * inputs)
    n_of_m      of m weights in a row along the input channels the n highest stay (Mishra et al. 2021, arXiv:2104.08378)
A score of -inf is of a weight that was removed before: it never comes back. Of equal scores the first stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from galenic.compress.densities import erk, uniform
from galenic.record.errors import ModelError

Scores = Mapping[str, Float[Tensor, "..."]]


class Threshold(StrEnum):
    """How the weights that go are chosen."""

    GLOBAL = "global"
    DEVIATION = "deviation"
    UNIFORM = "uniform"
    ERK = "erk"
    TOP_K = "top_k"


def keep_global(scores: Scores, sparsity: float) -> dict[str, Tensor]:
    """One threshold for all scores."""
    every = torch.cat([score.flatten() for score in scores.values()])
    masks = highest(every, every.numel() - round(sparsity * every.numel()))
    parts = masks.split([score.numel() for score in scores.values()])
    return {name: part.view_as(scores[name]) for name, part in zip(scores, parts, strict=True)}


def keep_by_deviation(scores: Scores, sparsity: float) -> dict[str, Tensor]:
    """One threshold per layer, in proportion to the standard deviation of what it has left."""
    return keep_global({name: score / _deviation(score) for name, score in scores.items()}, sparsity)


def keep_uniform(scores: Scores, sparsity: float) -> dict[str, Tensor]:
    """The same share of every layer."""
    return keep_densities(scores, uniform(shapes(scores), 1 - sparsity))


def keep_erk(scores: Scores, sparsity: float) -> dict[str, Tensor]:
    """A share of every layer by its shape."""
    return keep_densities(scores, erk(shapes(scores), 1 - sparsity))


def keep_top_k(scores: Scores, sparsity: float) -> dict[str, Tensor]:
    """The same number of weights for every output channel of a layer."""
    found = {}
    for name, score in scores.items():
        rows = score.flatten(1)
        kept = max(1, round((1 - sparsity) * rows.shape[1]))
        found[name] = torch.stack([highest(row, kept) for row in rows]).view_as(score)
    return found


KEEPS: Mapping[Threshold, Callable[[Scores, float], dict[str, Tensor]]] = {
    Threshold.GLOBAL: keep_global,
    Threshold.DEVIATION: keep_by_deviation,
    Threshold.UNIFORM: keep_uniform,
    Threshold.ERK: keep_erk,
    Threshold.TOP_K: keep_top_k,
}
"""(scores, sparsity of the whole) -> masks."""


def chosen(scores: Scores, sparsity: float, threshold: Threshold) -> dict[str, Tensor]:
    """The masks of a threshold.

    Raises:
        ModelError: a layer would lose all its weights.
    """
    masks = KEEPS[threshold](scores, sparsity)
    for name, score in scores.items():
        masks[name] &= score > -torch.inf
        if not bool(masks[name].any()):
            raise ModelError(
                given=f"{threshold.value} pruning to {sparsity:g}, which takes all {score.numel():,} weights of {name}",
                expected="a layer that something comes through",
                todo="lower the sparsity, keep that layer, or choose threshold = 'erk', which leaves small layers more",
            )
    return masks


def keep_densities(scores: Scores, densities: Mapping[str, float]) -> dict[str, Tensor]:
    """The highest scores of each layer, as many as its density says, but one at least."""
    return {name: highest(score, max(1, round(densities[name] * score.numel()))) for name, score in scores.items()}


def keep_n_of_m(score: Float[Tensor, "o i ..."], n: int, m: int) -> Bool[Tensor, "o i ..."]:
    """The n highest of every m scores in a row along the input channels, whose number m has to divide."""
    last = score.movedim(1, -1)
    groups = last.reshape(-1, m)
    order = torch.sort(groups, dim=1, descending=True, stable=True).indices[:, :n]
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, order, True)
    return mask.view(last.shape).movedim(-1, 1) & (score > -torch.inf)


def highest(score: Float[Tensor, "..."], count: int) -> Bool[Tensor, "..."]:
    """True for so many of the highest scores."""
    order = torch.sort(score.flatten(), descending=True, stable=True).indices[:count]
    mask = torch.zeros(score.numel(), dtype=torch.bool, device=score.device)
    mask[order] = True
    return mask.view_as(score)


def shapes(scores: Scores) -> dict[str, tuple[int, ...]]:
    """Of each weight."""
    return {name: tuple(score.shape) for name, score in scores.items()}


def _deviation(score: Tensor) -> Tensor:
    """Root mean square of the scores that are left: the weights' standard deviation about zero where scores are |w|."""
    left = score[score > -torch.inf]
    return left.square().mean().sqrt().clamp_min(torch.finfo(score.dtype).tiny)
