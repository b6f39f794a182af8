"""SET, sparse evolutionary training (Mocanu et al., Nature Communications 2018, arXiv:1707.04780): weights grow at random.

    growth score = a random number                 topology.py has the rest
The paper drops the smallest positive and the largest negative weights after every epoch; here, as in later comparisons (Evci et al.
2020), the smallest |w| every few steps and ever fewer of them.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from galenic.compress.densities import Distribution
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.compress.sparsify.topology import Moves, refuse_sparse, sparse_training
from galenic.record.base import Record
from galenic.zoo.model import Model


def random_growth(weight: Tensor, generator: torch.Generator) -> Float[Tensor, "..."]:
    """A number in [0, 1) for every weight."""
    return torch.rand(weight.shape, generator=generator)


class SET(Record):
    """Train a sparse net whose smallest weights are dropped and grown elsewhere at random.

    Attributes:
        sparsity: the share of the weights that are not there, between 0 and 1.
        distribution: erk or uniform: how the others are spread over layers.
        share: of a layer's weights that move at first; it falls to 0 along a cosine.
        every_steps: how many steps lie between two moves; a step that moves the mask trains nothing.
        until: the share of the training after which the mask stays.
        keep: patterns of module paths that stay dense.
    """

    name: ClassVar[str] = "set"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    sparsity: float = Field(default=0.8, gt=0, lt=1)
    distribution: Distribution = Distribution.ERK
    share: float = Field(default=0.3, gt=0, lt=1)
    every_steps: int = Field(default=100, ge=2)
    until: float = Field(default=0.75, gt=0, le=1)
    keep: tuple[str, ...] = ()

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a model that is quantized or pruned, and for a pattern that matches no layer."""
        refuse_sparse(model, self.keep)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """A random mask, and what moves it."""
        moves = Moves(random_growth, self.share, self.every_steps, self.until, looks_at_gradients=False)
        return sparse_training(model, bench, self.sparsity, self.distribution, self.keep, moves)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained sparse model."""
        return [train_together([self], model, bench)]
