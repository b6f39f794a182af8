"""The arithmetic of a sparse training, counted as if zeros cost nothing (Evci et al. 2020, arXiv:1911.11134, appendix H).

    a step of the dense net     3 f                  forward, gradients of the inputs, gradients of the weights
    a step of the sparse one    3 sum density_l f_l
    a step that looks at dense gradients             2 sum density_l f_l + f
f_l are the multiply-accumulates of layer l for one input, f those of all layers. It is a count and no time: processors and
runtimes that multiply by zeros gain nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from galenic.compress.masks import Masks
from galenic.training.callbacks import Callback, State
from galenic.zoo.macs import layer_macs
from galenic.zoo.model import Model


class Work:
    """Counts the steps of one training.

    Args:
        model: dense.
        names: of the weights that have masks.
    """

    def __init__(self, model: Model, names: Iterable[str]) -> None:
        macs = layer_macs(model)
        self._layers = {name: macs.get(name.removesuffix(".weight"), 0) for name in names}
        self._all = sum(macs.values())
        self._counted = torch.zeros(2, dtype=torch.float64)

    def add(self, masks: Masks, dense_gradient: bool = False) -> None:
        """Count a step with these masks."""
        sparse = self._all - sum((1 - float(mask.float().mean())) * self._layers[name] for name, mask in masks.items())
        spent = 2 * sparse + self._all if dense_gradient else 3 * sparse
        self._counted += torch.tensor([spent, 3 * self._all], dtype=torch.float64)

    def counting(self, masks: Masks) -> Callback:
        """Count every step of a training; a resumed one goes on from its count."""

        def step(state: State) -> None:  # noqa: ARG001 - the loop's signature
            self.add(masks)

        return Callback(gradients_ready=step, remembered=self.remembered)

    @property
    def remembered(self) -> dict[str, torch.Tensor]:
        """What a resumed training must find again."""
        return {"work": self._counted}

    @property
    def share(self) -> float:
        """Work / the work of the same steps of the dense net; 1 before the first step."""
        spent, dense = (float(value) for value in self._counted)
        return spent / dense if dense else 1.0
