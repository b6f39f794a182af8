"""AdaRound: which way each weight is rounded is learned (Nagel et al., ICML 2020, arXiv:2004.10568).

    W~ = s clip(floor(W / s) + h(V), -q, q)              h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1)
    minimise over V   mean over output channels of  E(channel) / E_nearest(channel)  +  weight * mean(1 - |2 h(V) - 1|^beta)
    E = mean over rows and positions of (f(W x + b) - f(W~ x~ + b))^2
with x and W of the float model, x~ of the one that is quantized as far as this layer (asymmetric reconstruction), and f a ReLU
that is one operation with the layer, where there is one. beta falls from 20 to 2, so that h ends at 0 or 1; V starts where h is the
fraction that rounding to the nearest drops. A channel's error counts relative to that of the nearest integers, so that one
``weight`` suits every layer; and where it is not the smaller one in the end, the channel keeps its nearest integers.
Shapes: W (group, out, k), x (sample, group, k), W x (sample, group, out); k is a convolution's in-channels times its window.

The layers are gone through in the order of computation, the float and the quantized rows side by side, once: the time grows
linearly with rows and layers, and only those tensors are kept that later layers still need. A sample is one window of one row.

This is an optimisation of its own, and no training of the model: per layer, a least squares problem over 0 or 1 choices with
fixed scales and biases, without labels, augmentation, epochs or a teacher. What the training loop is for (checkpoints, averages,
several methods at once) has no meaning here; a killed stage begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, fx
from torch.nn import functional as F

from galenic.compress.quantize.calibrate import Batches, checked
from galenic.compress.quantize.grid import round_activation
from galenic.compress.quantize.places import before_rectifier
from galenic.compress.quantize.simulate import placed
from galenic.compress.quantize.weights import bias_of, scales_of
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.record.quant import QuantPoint, TensorRole
from galenic.zoo.graph import ATEN, NAME, graph_tensor, layers

STRETCH, OFFSET = 1.2, -0.1  # of the sigmoid, beyond 0 and 1
BETAS = (20.0, 2.0)
WARM_UP = 0.2  # of the steps, in which h is free
BATCH = 256
SAMPLES = 8192
MOST_BYTES = 2**30
"""What the kept tensors may take; fewer rows than asked for are used where they would take more."""


class AdaRound(Record):
    """How rounding is learned.

    Attributes:
        rows: calibration rows that are looked at, at most.
        steps: of the optimisation of each layer.
        learning_rate: of Adam.
        weight: of the term that makes every choice 0 or 1.
    """

    rows: int = Field(default=512, ge=1)
    steps: int = Field(default=500, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    weight: float = Field(default=10.0, gt=0)


@dataclass(frozen=True)
class Samples:
    """What a layer sees and what it is to give.

    Attributes:
        inputs: of the quantized model.
        targets: of the float model, after the ReLU.
        bias: of the layer.
        rectify: the ReLU, or nothing.
    """

    inputs: Float[Tensor, "n g k"]
    targets: Float[Tensor, "n g o"]
    bias: Float[Tensor, "g o"]
    rectify: Callable[[Tensor], Tensor]

    def errors(self, weight: Float[Tensor, "g o k"], rows: Any = slice(None)) -> Float[Tensor, "g o"]:
        """The mean squared error of each output channel, over all samples or some."""
        inputs = self.inputs[rows]
        if weight.shape[1] == 1:  # depthwise: products of matrices this thin take ten times as long
            products = (inputs * weight[:, 0]).sum(dim=2, keepdim=True)
        else:
            products = torch.einsum("ngk,gok->ngo", inputs, weight)
        return (self.rectify(products + self.bias) - self.targets[rows]).square().mean(dim=0)


def rectified_sigmoid(v: Tensor) -> Tensor:
    """h(V), in [0, 1]; it reaches both ends, at -2.4 and 2.4."""
    return (torch.sigmoid(v) * STRETCH + OFFSET).clamp(0.0, 1.0)


def inverse_rectified_sigmoid(h: Tensor) -> Tensor:
    """The V of which h(V) is this number."""
    return torch.logit((h - OFFSET) / STRETCH)


def indecision(h: Tensor, beta: float) -> Float[Tensor, ""]:
    """The mean of 1 - |2h - 1|^beta: 0 where every choice is made."""
    return (1.0 - (2.0 * h - 1.0).abs().pow(beta)).mean()


def learn_rounding(
    weight: Float[Tensor, "g o k"],
    scales: Float[Tensor, "g o k"],
    limit: int,
    samples: Samples,
    config: AdaRound,
    generator: torch.Generator,
) -> Float[Tensor, "g o k"]:
    """The weight on its grid, rounded up or down so that the layer's output changes least.

    Args:
        weight: float.
        scales: of every weight.
        limit: q, the largest integer.
        samples: what is reconstructed.
        config: how.
        generator: draws the batches.
    """
    ratio = weight / scales
    floor, removed = ratio.floor(), ratio == 0  # what was pruned stays zero
    nearest = ratio.round().clamp(-limit, limit) * scales
    before = samples.errors(nearest)
    if not bool((before > 0).any()):
        return nearest
    worth = before.clamp_min(float(before.max()) * 1e-6)
    v = inverse_rectified_sigmoid(ratio - floor).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=config.learning_rate)
    free = WARM_UP * config.steps
    for step in range(config.steps):
        drawn = torch.randint(len(samples.inputs), (BATCH,), generator=generator)
        with torch.enable_grad():
            h = rectified_sigmoid(v).masked_fill(removed, 0)
            errors = samples.errors((floor + h).clamp(-limit, limit) * scales, drawn)
            loss = (errors / worth).mean()
            if step >= free:
                done = (step - free) / (config.steps - free)
                loss = loss + config.weight * indecision(h, BETAS[0] + (BETAS[1] - BETAS[0]) * done)
        (v.grad,) = torch.autograd.grad(loss, [v])
        optimizer.step()
    chosen = (floor + ((v.detach() >= 0) & ~removed)).clamp(-limit, limit) * scales
    better = samples.errors(chosen) < before
    return torch.where(better[:, :, None], chosen, nearest)


def round_layers(
    graph: fx.GraphModule,
    baked: fx.GraphModule,
    points: Sequence[QuantPoint],
    rows: Batches,
    *,
    config: AdaRound,
    seed: int,
) -> None:
    """Round every weight that has a point, in place; a ``Rounder`` once config and seed are given.

    Args:
        graph: of the float model.
        baked: of the same model, whose weights are rounded.
        points: of weights, and of activations where those are rounded too.
        rows: calibration rows.
        config: how.
        seed: of the samples and batches.

    Raises:
        ModelError: a layer is a transposed convolution.
        DataError: the calibration rows are missing, all zero or not finite.
    """
    for name, node in layers(graph).items():
        if node.target is ATEN.conv_transpose2d.input:
            raise ModelError(
                given=f"{name}, a transposed convolution, whose rounding is to be learned",
                expected="convolutions and dense layers",
                todo=f"choose rounding = 'nearest', or keep it float: keep = ['{name}']",
            )
    with torch.no_grad():
        found = _first(rows, config.rows)
        found = found[: affordable_rows(graph, found[:1])]
        _SideBySide(graph, baked, points, config, seed).run(torch.cat([found, found]))


def _first(batches: Batches, most: int) -> Tensor:
    kept: list[Tensor] = []
    for batch in checked(batches):
        kept.append(batch[: max(0, most - sum(map(len, kept)))])
    return torch.cat(kept)


def affordable_rows(graph: fx.GraphModule, row: Float[Tensor, "1 ..."]) -> int:
    """How many rows' tensors fit into ``MOST_BYTES``, float and quantized."""
    peak = _Peak(graph)
    peak.run(row)
    return max(1, MOST_BYTES // (2 * peak.bytes))


class _Peak(fx.Interpreter):
    """The most bytes that one row's tensors take at a time."""

    bytes = 0

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        alive = [other for node, other in (*self.env.items(), (n, value)) if node.op != "get_attr"]
        self.bytes = max(self.bytes, sum(one.nbytes for one in alive if isinstance(one, Tensor)))
        return value


class _SideBySide(fx.Interpreter):
    """Runs twice as many rows as there are: the first half as the float model does, the second as the quantized one.

    Every layer's weight is rounded when it is come to, so that the second half goes on with what it gives then.
    """

    def __init__(
        self, graph: fx.GraphModule, baked: fx.GraphModule, points: Sequence[QuantPoint], config: AdaRound, seed: int
    ) -> None:
        super().__init__(graph)
        self._baked, self._layers = baked, layers(baked)
        self._weights = {point.tensor: point for point in points if point.role is TensorRole.WEIGHT}
        self._grids = placed(graph, points)
        self._config, self._seed = config, seed

    def run_node(self, n: fx.Node) -> Any:
        name = n.meta.get(NAME)
        value = self._rounded_layer(n, name) if name in self._weights else super().run_node(n)
        if name not in self._grids:
            return value
        real, quantized = value.chunk(2)
        grid, bits = self._grids[name]
        return torch.cat([real, round_activation(quantized, grid, bits)])

    def _rounded_layer(self, n: fx.Node, name: str) -> Tensor:
        (inputs, weight, *rest), _ = self.fetch_args_kwargs_from_env(n)
        compute: Callable[..., Tensor] = n.target  # type: ignore[assignment]
        real, quantized = inputs.chunk(2)
        target = compute(real, weight, *rest)
        own = graph_tensor(self._baked, self._layers[name].args[1])
        number = list(self._layers).index(name)
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        point, bias = self._weights[name], bias_of(self._baked, self._layers[name])
        samples = draw_samples(n, quantized, target, weight, bias, generator)
        grouped = weight.reshape(*samples.bias.shape, -1)
        scales = _every_scale(point, weight).view(grouped.shape)
        limit = 2 ** (point.bits - 1) - 1
        rounded = learn_rounding(grouped, scales, limit, samples, self._config, generator)
        own.copy_(rounded.view(weight.shape))
        return torch.cat([target, compute(quantized, own, *rest)])


def draw_samples(
    node: fx.Node, inputs: Tensor, outputs: Tensor, weight: Tensor, bias: Tensor | None, generator: torch.Generator
) -> Samples:
    """Windows of a layer's inputs, with what the float layer gives there: all of them, or ``SAMPLES`` drawn ones.

    Args:
        node: the layer.
        inputs: of the quantized model: (row, ..., k) of a dense layer, (row, channel, *positions) of a convolution.
        outputs: of the float model, before the ReLU.
        weight: of the layer.
        bias: of the layer.
        generator: draws.
    """
    rectify = _rectifier(node)
    added = torch.zeros(len(weight)) if bias is None else bias.detach()
    if node.target is ATEN.linear.default:
        windows, targets = inputs.flatten(0, -2), outputs.flatten(0, -2)
        drawn = _drawn(len(windows), generator)
        return Samples(windows[drawn][:, None], rectify(targets[drawn])[:, None], added[None], rectify)
    stride, padding, dilation, groups = _convolution(node)
    if inputs.dim() == 3:
        inputs, outputs, weight = inputs.unsqueeze(2), outputs.unsqueeze(2), weight.unsqueeze(2)
    padded = F.pad(inputs, (padding[1], padding[1], padding[0], padding[0]))
    height, width = outputs.shape[2:]
    drawn = _drawn(len(inputs) * height * width, generator)
    row, y, x = drawn // (height * width), drawn // width % height, drawn % width
    down = (y * stride[0])[:, None] + torch.arange(weight.shape[2]) * dilation[0]
    right = (x * stride[1])[:, None] + torch.arange(weight.shape[3]) * dilation[1]
    windows = padded[row[:, None, None], :, down[:, :, None], right[:, None, :]]  # (sample, window, window, channel)
    windows = windows.movedim(3, 1).reshape(len(drawn), groups, -1)
    targets = rectify(outputs[row, :, y, x]).view(len(drawn), groups, -1)
    return Samples(windows, targets, added.view(groups, -1), rectify)


def _drawn(count: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=generator)[:SAMPLES]


def _rectifier(node: fx.Node) -> Callable[[Tensor], Tensor]:
    if not before_rectifier(node):
        return torch.positive
    user = next(iter(node.users))
    operation: Any = user.target
    return lambda value: operation(value, *user.args[1:])


def _convolution(node: fx.Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]:
    """Stride, padding and dilation as for images, and the number of groups."""
    given = list(node.args[3:]) + [None] * 4
    one = node.target is ATEN.conv1d.default

    def pair(value: Any, default: int) -> tuple[int, int]:
        if value is None:
            return default, default
        values = (value,) if isinstance(value, int) else tuple(value)
        return (default, values[0]) if one else (values[0], values[-1])

    groups = given[3] if isinstance(given[3], int) else 1
    return pair(given[0], 1), pair(given[1], 0), pair(given[2], 1), groups


def _every_scale(point: QuantPoint, weight: Tensor) -> Float[Tensor, "out k"]:
    """The scale of each weight, output channels first."""
    rows = weight.reshape(len(weight), -1)
    scales = scales_of(point, len(rows)).expand(len(rows), -1)
    return scales.repeat_interleave(rows.shape[1] // scales.shape[1], dim=1)
