"""Ranges tuned together: from the observers' ranges, by gradient, so that the whole net answers as the float one does.

    minimise over all ranges   mean over calibration rows of KL(softmax(float logits) || softmax(simulated logits))
An observer sees one tensor at a time; what a net loses is decided by all of them. No label is read and no weight is changed. The
gradients are those of learned asymmetric ranges (LSQ+: Bhalgat et al. 2020, arXiv:2004.09576; ``fake.py``). Grids that are given
(of gates) stay. Time: ``STEPS`` passes forward and back over one batch; memory: one batch's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import fx

from galenic.compress.quantize.aware_graph import RANGES, aware, key
from galenic.compress.quantize.calibrate import Batches
from galenic.compress.quantize.fake import LearnedRange
from galenic.compress.quantize.grid import activation_point
from galenic.compress.quantize.simulate import divergence
from galenic.record.quant import QuantPoint, TensorRole
from galenic.record.task import TaskKind

STEPS, LEARNING_RATE = 40, 0.02
"""A step moves the ends of a range by up to 2 % of what they are, and less towards the end."""


def tuned(
    before: fx.GraphModule,
    graph: fx.GraphModule,
    points: Sequence[QuantPoint],
    rows: Batches,
    kind: TaskKind = TaskKind.SINGLE_LABEL,
) -> tuple[QuantPoint, ...]:
    """The points with other ranges of activations; nothing is random but the seeded order of the batches.

    Args:
        before: the float model's graph.
        graph: the same with its weights on their grids.
        points: of ``graph``, as observers found them.
        rows: calibration rows.
        kind: of the task.
    """
    activations = [point for point in points if point.role is not TensorRole.WEIGHT]
    rounding = aware(graph, activations).eval()
    ranges = rounding.get_submodule(RANGES).named_children()
    learned = {name: part for name, part in ranges if isinstance(part, LearnedRange) and not part.given}
    ends = [part.log_ends for part in learned.values()]
    if not ends:
        return tuple(points)
    optimizer = torch.optim.Adam(ends, lr=LEARNING_RATE)
    random, batches = np.random.default_rng(0), list(rows())
    order = np.concatenate([random.permutation(len(batches)) for _ in range(1 + STEPS // len(batches))])
    for step, number in enumerate(order[:STEPS]):
        batch = batches[number]
        with torch.no_grad():
            wanted = before(batch)
        lost = divergence(wanted, rounding(batch), kind).mean()
        for end, gradient in zip(ends, torch.autograd.grad(lost, ends, allow_unused=True), strict=True):
            end.grad = gradient
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / STEPS)
        optimizer.step()
    return tuple(_as_tuned(point, learned) for point in points)


def _as_tuned(point: QuantPoint, learned: dict[str, LearnedRange]) -> QuantPoint:
    part = learned.get(key(point.tensor))
    if point.role is TensorRole.WEIGHT or part is None:
        return point
    with torch.no_grad():
        return activation_point(point.tensor, part.grid, point.bits, point.role)
