"""DST, dynamic sparse training with trainable thresholds (Liu et al., ICLR 2020, arXiv:2005.06870).

    weight = w * step(|w| - t)          t: one threshold per output channel, trained with the weights
    loss   = label loss + alpha * sum of exp(-t), as long as fewer weights are zero than asked for
    d step(x) / dx = 2 - 4 |x| for |x| <= 0.4,   0.4 for 0.4 < |x| <= 1,   0 beyond       (the paper's long-tailed estimator)
A layer of which less than ``COLLAPSED`` is left gets thresholds of zero again, as in the reference implementation. The paper has no
target: the penalty drives sparsity, so it ends here where ``sparsity`` is reached. What was reached is in the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from galenic.compress.masks import prunable, sparse_model
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.compress.sparse_work import Work
from galenic.compress.sparsify.topology import refuse_sparse
from galenic.record.base import Record
from galenic.training.callbacks import Callback, State
from galenic.training.objective import Pass
from galenic.zoo.model import Model, removed_share

COLLAPSED = 0.01
"""Of a layer's weights; fewer are taken for a layer that is being lost."""


class Step(torch.autograd.Function):
    """1 where x > 0, else 0; with the long-tailed estimator of its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The step."""
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The estimator times the gradient from above."""
        (x,) = ctx.saved_tensors
        return gradient * long_tail(x)


def long_tail(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """2 - 4 |x|, 0.4 and 0, from the middle outwards."""
    size = x.abs()
    return torch.where(size <= 0.4, 2 - 4 * size, torch.where(size <= 1, 0.4, 0.0))


class Thresholds(nn.Module):
    """What makes a layer's weight of the one that is trained: small ones are zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(channels))

    def forward(self, weight: Float[Tensor, "out ..."]) -> Float[Tensor, "out ..."]:
        """The weight without what is below its channel's threshold."""
        masked: Tensor = weight * Step.apply(weight.abs() - self._beside(weight))  # type: ignore[no-untyped-call]
        return masked

    def mask(self, weight: Tensor) -> Tensor:
        """Where the weight stays, bool."""
        return weight.detach().abs() > self._beside(weight.detach())

    def _beside(self, weight: Tensor) -> Tensor:
        return self.threshold.view(-1, *[1] * (weight.dim() - 1))


class Penalty:
    """Alpha times the sum of exp(-t) over all thresholds, while less than ``sparsity`` of the weights is zero."""

    layers = ()
    own = None

    def __init__(self, thresholds: Mapping[nn.Module, Thresholds], alpha: float, sparsity: float) -> None:
        self._thresholds, self._alpha, self._sparsity = thresholds, alpha, sparsity

    def loss(self, seen: Pass) -> Tensor:
        """A scalar."""
        masks = masks_by(self._thresholds)
        zeros = 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
        if zeros >= self._sparsity:
            return seen.logits.new_zeros(())
        return self._alpha * torch.stack([torch.exp(-one.threshold).sum() for one in self._thresholds.values()]).sum()


class DST(Record):
    """Train a sparse net whose thresholds are trained with it.

    Attributes:
        sparsity: the share of the weights at which nothing drives thresholds up any more, between 0 and 1.
        alpha: how much thresholds are driven up; where the sparsity is not reached in time, raise it.
        keep: patterns of module paths that stay dense.
    """

    name: ClassVar[str] = "dst"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    sparsity: float = Field(default=0.8, gt=0, lt=1)
    alpha: float = Field(default=1e-4, gt=0)
    keep: tuple[str, ...] = ()

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a model that is quantized or pruned, and for a pattern that matches no layer."""
        refuse_sparse(model, self.keep)

    def contribute(self, model: Model, bench: Bench) -> Contribution:  # noqa: ARG002 - the protocol's signature
        """The model with thresholds in its layers, and the penalty that raises them."""
        self.refuse_model(model)
        names = list(prunable(model, self.keep))
        work = Work(model, names)
        modules = [model.module.get_submodule(name.removesuffix(".weight")) for name in names]
        thresholds = {layer: with_thresholds(layer) for layer in modules}

        def count(state: State) -> None:  # noqa: ARG001 - the loop's signature
            work.add(dict(zip(names, masks_by(thresholds), strict=True)), dense_gradient=True)
            for mask, one in zip(masks_by(thresholds), thresholds.values(), strict=True):
                if float(mask.float().mean()) < COLLAPSED:
                    one.threshold.data.zero_()

        def finish(trained: Model) -> Model:
            for name in names:
                layer = trained.module.get_submodule(name.removesuffix(".weight"))
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
            made = sparse_model(trained, names, training_flops=work.share)
            reached = f"DST reached a sparsity of {removed_share(made):.3f}; {self.sparsity:g} was asked for"
            return sparse_model(made, names, training_flops=work.share, notes=[reached])

        return Contribution(
            model,
            terms=(Penalty(thresholds, self.alpha, self.sparsity),),
            callbacks=(Callback(step_taken=count, remembered=work.remembered),),
            finish=finish,
        )

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained sparse model."""
        return [train_together([self], model, bench)]


def with_thresholds(layer: nn.Module) -> Thresholds:
    """Put thresholds of zero before a layer's weight, in place."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    made = Thresholds(len(weight))
    parametrize.register_parametrization(layer, "weight", made)
    return made


def masks_by(thresholds: Mapping[nn.Module, Thresholds]) -> list[Tensor]:
    """The mask of every layer's weight as it is now."""
    found = []
    for layer, one in thresholds.items():
        trained = layer.parametrizations["weight"].original  # type: ignore[union-attr, index]
        assert isinstance(trained, Tensor)
        found.append(one.mask(trained))
    return found
