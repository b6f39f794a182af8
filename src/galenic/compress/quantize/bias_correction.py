"""Bias correction (Nagel et al., ICCV 2019, arXiv:1906.04721, section 4.2, with data).

    b' = b - mean over rows and positions of (layer(x, rounded W) - layer(x, W))      per output channel
where x is what the layer gets in the float model: rounding moves the mean of a layer's output, and the bias takes that back.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from galenic.compress.quantize.calibrate import Batches
from galenic.compress.quantize.weights import bias_of
from galenic.zoo.graph import ATEN, NAME, graph_tensor, layers

CHANNEL_AXIS = 1


def correct_biases(graph: fx.GraphModule, baked: fx.GraphModule, batches: Batches) -> tuple[str, ...]:
    """Correct the biases of ``baked``, in place; the layers that have none to correct.

    Args:
        graph: of the float model.
        baked: of the same model with rounded weights; the biases are still the float model's.
        batches: calibration rows.
    """
    means = _Means(graph, baked)
    with torch.no_grad():
        for batch in batches():
            means.run(batch)
        nodes = layers(baked)
        for name, error in means.errors.items():
            bias = bias_of(baked, nodes[name])
            if bias is not None:
                bias.sub_(error / means.rows)
    return tuple(name for name, node in nodes.items() if bias_of(baked, node) is None)


class _Means(fx.Interpreter):
    """Runs the float graph; beside each layer the one with rounded weights, on the same input."""

    def __init__(self, graph: fx.GraphModule, baked: fx.GraphModule) -> None:
        super().__init__(graph)
        self._baked, self._layers = baked, layers(baked)
        self.errors: dict[str, Tensor] = {}
        self.rows = 0

    def run(self, *args: Tensor, **_: object) -> Tensor:  # type: ignore[override]
        self.rows += len(args[0])
        answer: Tensor = super().run(*args)
        return answer

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        name = n.meta.get(NAME)
        if name in self._layers:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            rounded = graph_tensor(self._baked, self._layers[name].args[1])
            assert callable(n.target)
            other = n.target(args[0], rounded, *args[2:], **kwargs)
            error = other - value
            channel = error.dim() - 1 if n.target is ATEN.linear.default else CHANNEL_AXIS
            others = [axis for axis in range(1, error.dim()) if axis != channel]
            summed = error.mean(dim=others).sum(dim=0) if others else error.sum(dim=0)
            self.errors[name] = self.errors.get(name, torch.zeros_like(summed)) + summed
        return value
