"""Which tensors of a graph have a grid of their own.

    none      what goes into a fused ReLU: the layer or sum and its ReLU are one integer operation
    shared    what a view or a pool makes has its input's grid: no integer operation changes it
    own       the input, and everything else; also a mean over all positions: on its input's grid it would often lie in the
              middle of two integers (16 integers' mean: once in 16), where runtimes round differently
A gate's grid is given: a half, which every gate gives that is dead or shut off, is an integer on it (``gate_grid``).
The runtimes use a part of these: ONNX Runtime none for the logits, OpenVINO none before an activation. A file has
to be compared with a simulation that has the same ones.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence

import torch
from torch import fx

from galenic.compress.quantize.grid import Grid
from galenic.zoo.graph import ATEN, NAME, PARTING, WEIGHTED, answer, rectifies, tensors

BEFORE_RECTIFIER = WEIGHTED | {ATEN.add.Tensor}
SHARING = frozenset(
    {
        ATEN.view.default,
        ATEN.reshape.default,
        ATEN.flatten.using_ints,
        ATEN.permute.default,
        ATEN.transpose.int,
        ATEN.squeeze.dim,
        ATEN.squeeze.dims,
        ATEN.unsqueeze.default,
        ATEN.slice.Tensor,
        ATEN.max_pool1d.default,
        ATEN.max_pool2d.default,
        ATEN.avg_pool1d.default,
        ATEN.avg_pool2d.default,
    }
)
ADAPTIVE = frozenset({ATEN.adaptive_avg_pool1d.default, ATEN.adaptive_avg_pool2d.default})


def grids(graph: fx.GraphModule) -> dict[str, str | None]:
    """Each tensor's name -> the tensor whose grid it has (itself, or another), or None where it has none."""
    named = tensors(graph)
    names = {node: name for name, node in named.items()}
    found: dict[str, str | None] = {}
    for name, node in named.items():
        source = _source(node)
        if source in names:
            found[name] = found[names[source]]
        else:
            found[name] = None if before_rectifier(node) else name
    return found


def _source(node: fx.Node) -> fx.Node | None:
    """What a view, a pool or a part is made of, whose grid it has; None for every other operation."""
    source = node.args[0] if node.args else None
    if node.target is operator.getitem and isinstance(source, fx.Node) and source.target in PARTING:
        source = source.args[0]
    elif node.target not in SHARING and not _pools_to_positions(node):
        return None
    return source if isinstance(source, fx.Node) else None


def _pools_to_positions(node: fx.Node) -> bool:
    """Whether an adaptive pool leaves more than one position."""
    sizes = node.args[1] if node.target in ADAPTIVE else ()
    return isinstance(sizes, Sequence) and any(size != 1 for size in sizes)


def gate_grid(node: fx.Node, bits: int) -> Grid | None:
    """The grid of what a sigmoid or a hardsigmoid makes; None for every other operation.

    1 / 2^bits is LiteRT's for sigmoids; on 1 / (2^bits - 2) its hardsigmoid, relu6(x + 3) / 6 in steps of 6 / (2^bits - 2), is
    exact.
    """
    if node.target is ATEN.sigmoid.default:
        return Grid(float(torch.tensor(1 / 2**bits)), 0)
    if node.target is ATEN.hardsigmoid.default:
        return Grid(float(torch.tensor(1 / (2**bits - 2))), 0)
    return None


def before_rectifier(node: fx.Node) -> bool:
    """Whether a tensor only goes into a ReLU that is one operation with what makes it."""
    users = list(node.users)
    return node.target in BEFORE_RECTIFIER and len(users) == 1 and rectifies(users[0])


def maker(graph: fx.GraphModule, tensor: str) -> str:
    """The name of the layer that is one operation with the ReLU that makes a tensor; the tensor's own name else."""
    node = tensors(graph)[tensor]
    source = node.args[0] if node.args else None
    fused = rectifies(node) and isinstance(source, fx.Node) and before_rectifier(source)
    return str(source.meta[NAME]) if fused and isinstance(source, fx.Node) else tensor


def logits(graph: fx.GraphModule) -> str:
    """The name of the tensor that the model answers."""
    return str(answer(graph).meta[NAME])


def quantized_tensors(graph: fx.GraphModule, kept: Collection[str]) -> list[str]:
    """The tensors with a grid of their own that an integer operation makes or takes; ``kept`` are the float layers."""
    where = grids(graph)
    floats = {node for name, node in tensors(graph).items() if name in kept}
    used: set[str] = set()
    for name, node in tensors(graph).items():
        grid = where[name]
        users = [user for user in node.users if user.op != "output"]
        integer = node.op != "placeholder" and node not in floats
        if grid is not None and (integer or any(user not in floats for user in users)):
            used.add(grid)
    return [name for name in where if name in used]
