"""Cross-layer equalisation (Nagel et al., ICCV 2019, arXiv:1906.04721, section 4.1).

    s_i = sqrt(r1_i / r2_i)      r1_i = max |W1[i]|, r2_i = max |W2[:, i]|
    W1[i], b1[i] -> W1[i] / s_i, b1[i] / s_i      W2[:, i] -> s_i W2[:, i]
for two layers with nothing but a ReLU between them, which lets a positive factor pass. The function stays; the ranges of channel i
are the same in both. Shapes: W1 (c, ...), W2 (out, c, ...), or (c, 1, ...) where the second is depthwise.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from galenic.compress.quantize.grid import NARROWEST
from galenic.compress.quantize.weights import bias_of
from galenic.zoo.graph import ATEN, RECTIFIERS, WEIGHTED, graph_tensor, layers

ROUNDS = 4
PASSED = RECTIFIERS - {ATEN.relu6.default}


def equalise(graph: fx.GraphModule) -> int:
    """Equalise every pair of layers of a folded model, in place; how many pairs there are."""
    found = pairs(graph)
    with torch.no_grad():
        for _ in range(ROUNDS):
            for first, second in found:
                _equalise(graph, first, second)
    return len(found)


def pairs(graph: fx.GraphModule) -> list[tuple[fx.Node, fx.Node]]:
    """The layers with nothing but a ReLU between them, in the order of computation."""
    found = []
    for first in layers(graph).values():
        after = _only_user(first)
        if after is not None and after.target in PASSED:
            after = _only_user(after)
        if after is not None and after.target in WEIGHTED and _fits(graph, first, after):
            found.append((first, after))
    return found


def _only_user(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def _fits(graph: fx.GraphModule, first: fx.Node, second: fx.Node) -> bool:
    channels = len(graph_tensor(graph, first.args[1]))
    weight = graph_tensor(graph, second.args[1])
    plain = ATEN.conv_transpose2d.input not in (first.target, second.target)
    return plain and (weight.shape[1] == channels or _is_depthwise(weight, channels))


def _is_depthwise(weight: Tensor, channels: int) -> bool:
    return weight.dim() > 2 and weight.shape[1] == 1 and len(weight) == channels


def _equalise(graph: fx.GraphModule, first: fx.Node, second: fx.Node) -> None:
    before, after = graph_tensor(graph, first.args[1]), graph_tensor(graph, second.args[1])
    depthwise = _is_depthwise(after, len(before)) and after.shape[1] != len(before)
    columns = after if depthwise else after.transpose(0, 1)
    largest = before.abs().reshape(len(before), -1).amax(dim=1)
    next_largest = columns.abs().reshape(len(before), -1).amax(dim=1)
    factor = torch.sqrt(largest / next_largest)
    factor[(largest < NARROWEST) | (next_largest < NARROWEST)] = 1.0
    before.div_(factor.view(-1, *[1] * (before.dim() - 1)))
    bias = bias_of(graph, first)
    if bias is not None:
        bias.div_(factor)
    columns.mul_(factor.view(-1, *[1] * (columns.dim() - 1)))
