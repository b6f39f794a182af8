"""A random mask that stays: the control of sparse training. What SET and RigL gain, they gain over this one."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from galenic.compress.densities import Distribution
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.compress.sparsify.topology import refuse_sparse, sparse_training
from galenic.record.base import Record
from galenic.zoo.model import Model


class StaticRandom(Record):
    """Train with a random mask from the first step to the last.

    Attributes:
        sparsity: the share of the weights that are not there, between 0 and 1.
        distribution: erk or uniform: how the others are spread over layers.
        keep: patterns of module paths that stay dense.
    """

    name: ClassVar[str] = "static_random"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    sparsity: float = Field(default=0.8, gt=0, lt=1)
    distribution: Distribution = Distribution.ERK
    keep: tuple[str, ...] = ()

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a model that is quantized or pruned, and for a pattern that matches no layer."""
        refuse_sparse(model, self.keep)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The mask, held."""
        return sparse_training(model, bench, self.sparsity, self.distribution, self.keep)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained sparse model."""
        return [train_together([self], model, bench)]
