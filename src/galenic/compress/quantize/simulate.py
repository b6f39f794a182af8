"""The simulation: the float graph with every activation rounded to its grid, as an integer runtime sees it.

Weights are on their grids already (``weights.bake``). What a file is compared with has the same places as the file.

    divergence = mean over rows of KL(softmax(float logits) || softmax(simulated logits)), in nats
(for a multi-label task the sum over labels of the KL divergence of each label's two probabilities)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, fx
from torch.nn import functional as F

from galenic.compress.quantize.calibrate import Batches
from galenic.compress.quantize.grid import Grid, round_activation
from galenic.compress.quantize.places import grids
from galenic.record.quant import QuantPoint, TensorRole
from galenic.record.task import TaskKind
from galenic.zoo.graph import run


def simulated(
    graph: fx.GraphModule, points: Sequence[QuantPoint], inputs: Tensor, without: Collection[str] = ()
) -> Float[Tensor, "batch classes"]:
    """The logits with every activation that has a grid, of its own or shared, on it; but for the tensors ``without``."""
    known = placed(graph, points, without)

    def see(name: str, value: Tensor) -> Tensor | None:
        if name not in known:
            return None
        grid, bits = known[name]
        return round_activation(value, grid, bits)

    return run(graph, inputs, see)


def placed(
    graph: fx.GraphModule, points: Sequence[QuantPoint], without: Collection[str] = ()
) -> dict[str, tuple[Grid, int]]:
    """The grid and the bits of every activation that has a grid, of its own or shared; but for the tensors ``without``."""
    own = {
        point.tensor: (Grid(point.scale[0], point.zero_point[0]), point.bits)
        for point in points
        if point.role is not TensorRole.WEIGHT
    }
    return {name: own[grid] for name, grid in grids(graph).items() if grid in own and name not in without}


def answers(
    graph: fx.GraphModule, batches: Batches, points: Sequence[QuantPoint] = (), without: Collection[str] = ()
) -> Float[Tensor, "rows classes"]:
    """The logits of all rows: float, or simulated where there are points."""
    with torch.no_grad():
        return torch.cat([simulated(graph, points, batch, without) for batch in batches()])


def divergence(
    reference: Float[Tensor, "rows classes"], logits: Float[Tensor, "rows classes"], kind: TaskKind
) -> Float[Tensor, " rows"]:
    """The KL divergence of each row's answer from the reference's, in nats."""
    reference, logits = reference.double(), logits.double()
    if kind is TaskKind.MULTI_LABEL:
        reference = torch.stack([F.logsigmoid(reference), F.logsigmoid(-reference)], dim=-1)
        logits = torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=-1)
        return (reference.exp() * (reference - logits)).sum(dim=(1, 2))
    p, q = F.log_softmax(reference, dim=1), F.log_softmax(logits, dim=1)
    return (p.exp() * (p - q)).sum(dim=1)
