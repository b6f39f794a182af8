"""How much the model's answers change where one layer alone is quantized (ZeroQ: Cai et al., CVPR 2020, arXiv:2001.00281).

    sensitivity(layer, bits) = mean over rows of KL(softmax(float logits) || softmax(logits with this layer alone quantized))
in nats, with mean +- 1.96 standard errors over the rows. A layer is quantized by its weights and by what it gives (after a
fused ReLU); all other tensors stay float. Sensitivities of different layers nearly add up while they are small.
The rows go through the float graph once; at each layer the graph behind it is computed again with the rounded output, so a
layer costs the part of a forward pass that lies behind it. The memory is that of two forward passes of one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, fx

from galenic.compress.quantize.calibrate import Batches, calibrate
from galenic.compress.quantize.grid import Grid, round_activation, round_weight
from galenic.compress.quantize.places import before_rectifier, grids, logits
from galenic.compress.quantize.simulate import answers, divergence
from galenic.compress.quantize.static import Rows, place
from galenic.compress.quantize.weights import scales_of, weight_points
from galenic.record.progress import Progress, silent
from galenic.record.quant import FLOAT_BITS, Arithmetic, LayerSensitivity, Observer, QuantPoint, QuantRule, TensorRole
from galenic.record.task import TaskKind
from galenic.zoo.graph import NAME, answer, graph_tensor, layers, outputs_first

MOST_ROWS = 256
"""Rows of the validation split that sensitivities are measured on, the first ones."""

STANDARD_ERRORS = 1.96
WORK = "sensitivity of each layer"


class Trial(NamedTuple):
    """A layer, and the points that it alone has: of its weights, of its output, or of both."""

    layer: str
    points: tuple[QuantPoint, ...]

    def bits(self, role: TensorRole) -> int:
        """Of its weights or of its output; 32 where they stay float."""
        return next((point.bits for point in self.points if point.role is role), FLOAT_BITS)


def measure_layers(
    graph: fx.GraphModule, rules: Sequence[QuantRule], rows: Rows, observer: Observer, progress: Progress = silent
) -> tuple[LayerSensitivity, ...]:
    """Every layer at the bits that each of the rules gives it, in the order of computation.

    Args:
        graph: of a folded float model.
        rules: a layer that has the same bits in several of them is measured once.
        rows: calibration rows for ranges, and validation rows, of which the first ``MOST_ROWS`` are taken.
        observer: how ranges are found.
        progress: told how many layers are done.

    Raises:
        DataError: the calibration rows are missing, all zero or not finite.
    """
    seen = calibrate(graph, rows.calibration) if any(r.arithmetic is Arithmetic.STATIC for r in rules) else {}
    tried: dict[tuple[str, int, int], Trial] = {}
    for rule in rules:
        static = rule.arithmetic is Arithmetic.STATIC
        points = place(graph, rule, seen, observer) if static else weight_points(graph, rule, {})
        for trial in trials(graph, points):
            tried.setdefault((trial.layer, trial.bits(TensorRole.WEIGHT), trial.bits(TensorRole.OUTPUT)), trial)
    order = {name: place for place, name in enumerate(layers(graph))}
    ordered = sorted(tried.values(), key=lambda trial: order[trial.layer])
    found = divergences(graph, first_rows(rows.validation, MOST_ROWS), ordered, rows.kind, progress)
    return tuple(_sensitivity(trial, values) for trial, values in zip(ordered, found, strict=True))


def trials(graph: fx.GraphModule, points: Sequence[QuantPoint]) -> list[Trial]:
    """One trial for each layer whose weights have a point: that one and the point of its output, if it has one."""
    weights = {point.tensor: point for point in points if point.role is TensorRole.WEIGHT}
    outputs = {point.tensor: point for point in points if point.role is TensorRole.OUTPUT}
    found = []
    for name in layers(graph):
        own = outputs.get(output_of(graph, name) or "")
        if name in weights:
            found.append(Trial(name, (weights[name], *([own] if own else []))))
    return found


def output_of(graph: fx.GraphModule, layer: str) -> str | None:
    """The tensor with the grid of what a layer gives: its own, or its ReLU's; None for the logits, which stay float."""
    node = layers(graph)[layer]
    node = next(iter(node.users)) if before_rectifier(node) else node
    name = str(node.meta[NAME])
    return None if name == logits(graph) else name


def divergences(
    graph: fx.GraphModule,
    batches: Batches,
    tried: Sequence[Trial],
    kind: TaskKind = TaskKind.SINGLE_LABEL,
    progress: Progress = silent,
) -> list[Float[Tensor, " rows"]]:
    """Each trial's divergence from the float model, row by row."""
    found: list[list[Tensor]] = [[] for _ in tried]
    total = len(tried) * sum(1 for _ in batches())
    one_by_one = _OneByOne(graph, tried, lambda layer, done: progress(WORK, done, total, layer))
    if total:
        progress(WORK, 0, total)
    with torch.no_grad():
        for batch in batches():
            reference = one_by_one.run(batch)
            for rows, answered in zip(found, one_by_one.answers, strict=True):
                rows.append(divergence(reference, answered, kind))
    return [torch.cat(rows) for rows in found]


def whole_divergences(
    graph: fx.GraphModule, own: fx.GraphModule, points: Sequence[QuantPoint], batches: Batches, kind: TaskKind
) -> Float[Tensor, " rows"]:
    """The divergence of a whole simulation from the float model, row by row.

    Args:
        graph: of the float model.
        own: of the quantized one, whose weights are on their grids.
        points: of its activations; the logits stay float whatever they say.
        batches: of rows.
        kind: what the logits are.
    """
    simulated = answers(own, batches, points, without=(logits(own),))
    return divergence(answers(graph, batches), simulated, kind)


def first_rows(batches: Batches, most: int) -> Batches:
    """The same batches until there are ``most`` rows."""

    def shortened() -> Iterator[Tensor]:
        left = most
        for batch in batches():
            yield batch[:left]
            left -= len(batch)
            if left <= 0:
                return

    return shortened


def mean_interval(values: Float[Tensor, " rows"]) -> tuple[float, float, float]:
    """The mean of divergences with its interval; neither goes below 0, as sums of rounded logarithms may."""
    mean = max(0.0, float(values.double().mean()))
    error = float(values.double().std()) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return mean, max(0.0, mean - STANDARD_ERRORS * error), mean + STANDARD_ERRORS * error


def _sensitivity(trial: Trial, values: Float[Tensor, " rows"]) -> LayerSensitivity:
    mean, low, high = mean_interval(values)
    return LayerSensitivity(
        layer=trial.layer,
        weight_bits=trial.bits(TensorRole.WEIGHT),
        activation_bits=trial.bits(TensorRole.OUTPUT),
        value=mean,
        low=low,
        high=high,
        n=len(values),
    )


class _OneByOne(fx.Interpreter):
    """Runs the float graph; at each layer, the rest of the graph is also run with that layer rounded.

    ``answers`` has the logits of each trial after a ``run``.
    """

    def __init__(self, graph: fx.GraphModule, tried: Sequence[Trial], tell: Callable[[str, int], None]) -> None:
        super().__init__(graph)
        self._tried, self._tell, self._done = tried, tell, 0
        self._rest, self._order = fx.Interpreter(graph), list(graph.graph.nodes)
        self._layers, self._answer, where = layers(graph), answer(graph), grids(graph)
        self._weights = [_rounded_weight(graph, trial) for trial in tried]
        self._grids = [_grids(trial, where) for trial in tried]
        self.answers: list[Tensor] = [torch.zeros(0)] * len(tried)

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        for number, trial in enumerate(self._tried):
            if self._layers[trial.layer] is n:
                self.answers[number] = self._go_on(n, number)
                self._done += 1
                self._tell(trial.layer, self._done)
        return value

    def _go_on(self, layer: fx.Node, number: int) -> Tensor:
        """The logits where this layer has the trial's weights and its output the trial's grid."""
        args, kwargs = self.fetch_args_kwargs_from_env(layer)
        assert callable(layer.target)
        value = layer.target(args[0], self._weights[number], *args[2:], **kwargs)
        rest = self._rest
        rest.env = {**self.env, layer: self._on_grid(layer, value, number)}
        for node in self._order[self._order.index(layer) + 1 :]:
            if node.op != "output":
                rest.env[node] = self._on_grid(node, rest.run_node(node), number)
                for last_used in rest.user_to_last_uses.get(node, ()):
                    del rest.env[last_used]
        logits: Tensor = rest.env[self._answer]
        return logits

    def _on_grid(self, node: fx.Node, value: Any, number: int) -> Any:
        grid = self._grids[number].get(node.meta.get(NAME, ""))
        return value if grid is None else round_activation(value, *grid)


def _rounded_weight(graph: fx.GraphModule, trial: Trial) -> Tensor:
    node = layers(graph)[trial.layer]
    weight = graph_tensor(graph, node.args[1]).detach()
    for point in trial.points:
        if point.role is TensorRole.WEIGHT:
            turned = outputs_first(node, weight)
            weight = outputs_first(node, round_weight(turned, scales_of(point, len(turned)), point.bits))
    return weight


def _grids(trial: Trial, where: Mapping[str, str | None]) -> dict[str, tuple[Grid, int]]:
    """The tensors that have the grid of the trial's output: its own, and what views and pools make of it."""
    own = {
        point.tensor: (Grid(point.scale[0], point.zero_point[0]), point.bits)
        for point in trial.points
        if point.role is not TensorRole.WEIGHT
    }
    return {name: own[grid] for name, grid in where.items() if grid in own}
