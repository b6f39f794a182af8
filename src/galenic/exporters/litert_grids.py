"""Which grid each tensor of a .tflite file has, and which of its operations stay float.

    ours        a tensor that is one of ours by value; where it is one number on all probe rows, by its name or because no other
                of ours can be it
    fixed       what LOGISTIC, SOFTMAX and TANH make: their integer kernels know one grid alone
    gate        relu6(x + 3), which LiteRT makes of the first half of a hardsigmoid(x): 6 is 254 steps, so that 3 is one of them
                and x keeps its zero
    padded      the grid of what is padded
    float       what else LiteRT computes in several operations where we have one, such as a batch norm that stands alone: these
                operations stay float; and what adds or multiplies by many constants, which 8 bits would round
The simulation has these grids too: ``Grids.points`` are ours where the file has others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import fx

from galenic.exporters.litert_file import FLOAT32, Operation
from galenic.exporters.matching import activations, match, refuse_unmatched, weights
from galenic.record.quant import QuantPoint, QuantSpec, TensorRole
from galenic.zoo.graph import ATEN, NAME, layers, rectifies, tensors

BITS = 8
RELU6 = 3  # a number of the schema's ActivationFunctionType
FIXED: Mapping[str, tuple[float, int]] = {"LOGISTIC": (1 / 256, 0), "SOFTMAX": (1 / 256, 0), "TANH": (1 / 128, 128)}
GATE_SCALE, GATE_ZERO = float(np.float32(6 / 254)), 127  # of the hardsigmoid's input; relu6(x + 3) has the zero point 0
PADDING = frozenset({"PAD", "PADV2", "MIRROR_PAD"})


@dataclass(frozen=True)
class Net:
    """Our side: a folded model's graph with its specification, and what each of its tensors is on the probe rows."""

    graph: fx.GraphModule
    spec: QuantSpec
    values: Mapping[str, np.ndarray]

    def owner(self, name: str) -> str:
        """The tensor whose grid a tensor has."""
        return self.spec.shares.get(name, name)

    def known(self) -> dict[str, np.ndarray]:
        """The values of the tensors that have a grid."""
        points = activations(self.spec.points)
        return {name: value for name, value in self.values.items() if self.owner(name) in points}


@dataclass(frozen=True)
class Grids:
    """What a file is quantized on.

    Attributes:
        ours: the file's tensors -> ours.
        points: of our activations, as the file has them.
        grids: of every tensor of the file that has one.
        floats: the operations that stay float, by their outputs.
    """

    ours: Mapping[str, str]
    points: Mapping[str, QuantPoint]
    grids: Mapping[str, QuantPoint]
    floats: tuple[str, ...]


def find_grids(net: Net, theirs: Mapping[str, np.ndarray], file: Sequence[Operation]) -> Grids:
    """The grids of a float file's tensors.

    Args:
        net: the model that the file is of.
        theirs: what each of its tensors is on the probe rows.
        file: its operations.

    Raises:
        ModelError: an integer layer of the model takes or makes a tensor without a grid.
    """
    points, owner = activations(net.spec.points), net.owner
    ours = match(net.known(), theirs) | _constants(net, theirs, file)
    gates = _gates(net, theirs, [operation for operation in file if operation.output not in ours])
    there = {owner(name) for name in ours.values()}
    alone = {tensor: owner(name) for tensor, name in gates.items() if owner(name) not in there}
    points |= {name: _point(name, GATE_SCALE, GATE_ZERO) for name in alone.values()}
    for operation in file:
        if operation.kind in FIXED and operation.output in ours:
            tensor = owner(ours[operation.output])
            points[tensor] = _point(tensor, *FIXED[operation.kind])
    grids = {name: points[owner(tensor)] for name, tensor in ours.items()}
    grids |= {name: _point(name, GATE_SCALE, 0) for name in gates}
    for operation in file:
        if operation.kind in FIXED:
            grids.setdefault(operation.output, _point(operation.output, *FIXED[operation.kind]))
        elif operation.kind in PADDING and operation.inputs[0] in grids:
            grids.setdefault(operation.output, grids[operation.inputs[0]])
    return Grids(ours | alone, points, grids, _floats(net.spec, grids, file))


def _constants(net: Net, theirs: Mapping[str, np.ndarray], file: Sequence[Operation]) -> dict[str, str]:
    """The tensors that are one number on all probe rows -> ours: a layer's by its name, others where only one of ours can be it."""
    dead = {name: value for name, value in net.known().items() if np.ptp(value) == 0}
    named, found = layers(net.graph), {}
    for operation in file:
        value = theirs.get(operation.output)
        if value is None or np.ptp(value) > 0:
            continue
        alike = [name for name, one in dead.items() if one.size == value.size and np.isclose(one.flat[0], value[0])]
        node = named.get(operation.layer)
        while node is not None and node.meta[NAME] not in alike:
            users = list(node.users)
            node = users[0] if len(users) == 1 and rectifies(users[0]) else None
        if node is not None:
            found[operation.output] = str(node.meta[NAME])
        elif len({net.owner(name) for name in alike}) == 1:
            found[operation.output] = alike[0]
    return found


def _gates(net: Net, theirs: Mapping[str, np.ndarray], unmatched: Sequence[Operation]) -> dict[str, str]:
    """The tensors relu6(x + 3) -> our x, by value; a layer's also by its name."""
    named = {node: name for name, node in tensors(net.graph).items()}
    sources = [node.args[0] for node in named if node.target is ATEN.hardsigmoid.default]
    names = [named[source] for source in sources if isinstance(source, fx.Node) and source in named]
    clamped = {operation.output: operation.layer for operation in unmatched if operation.clamp == RELU6}
    by_name = {output: layer for output, layer in clamped.items() if layer in names}
    by_value = match(
        {name: np.clip(net.values[name] + 3, 0, 6) for name in names},
        {operation.output: theirs[operation.output] for operation in unmatched if operation.output in theirs},
    )
    return by_name | by_value


def _point(tensor: str, scale: float, zero_point: int) -> QuantPoint:
    return QuantPoint(tensor=tensor, role=TensorRole.OUTPUT, bits=BITS, scale=(scale,), zero_point=(zero_point,))


def _floats(spec: QuantSpec, grids: Mapping[str, QuantPoint], file: Sequence[Operation]) -> tuple[str, ...]:
    """The operations that stay float; ModelError where one of them is an integer layer of ours."""
    integer, left, missing = weights(spec.points), [], []
    for operation in file:
        without = [name for name in (*operation.inputs, operation.output) if name not in grids]
        if operation.layer in integer:
            missing += without
        elif without or operation.layer or _has_constants(operation):
            left.append(operation.output)
    refuse_unmatched("LiteRT", list(dict.fromkeys(missing)))
    return tuple(left)


def _has_constants(operation: Operation) -> bool:
    """Whether it computes with more than one constant number."""
    floats = [tensor for tensor in operation.constants.values() if tensor.type == FLOAT32]
    return any(int(np.prod(tensor.shape)) > 1 for tensor in floats)
