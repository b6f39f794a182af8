"""Which layers of a student and a teacher go together, from their stages and shapes.

    maps (c, h, w) and signals (c, t)   a stage ends at the last module of a resolution; stages of equal resolution go together
    tokens (t, d)                       a stage is a block (``blocks.0``, ``encoder.layer.0``)
    vectors (d,)                        a stage is a linear layer with what follows it, the classifier left out
Where fewer than half of the shorter net's stages find their resolution in the other, and for blocks and linear layers, stages
go together by relative depth: number i of n with number round(i m / n) of m, counted from one, so that the last meets the last.

A module that works at three or more resolutions is a trunk, not a stage, and is looked into: so paths are short and stable
(``layer1``, ``features.3``). A lone convolution at the first resolution is a stem and no stage. Maps whose channels come last
(Swin) are not recognised.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from torch import Tensor, nn

from galenic.training.layers import layer_shapes

Shape = tuple[int, ...]


class Layout(StrEnum):
    """What the axes of one row's output are."""

    MAP = "(channel, height, width)"
    SIGNAL = "(channel, time)"
    TOKENS = "(token, dimension)"
    VECTOR = "(dimension,)"


@dataclass(frozen=True)
class LayerPair:
    """A layer of the student and the teacher's layer that it is to resemble; shapes are of one row.

    ``adaptive`` says that they can be compared number by number only through a trained transform.
    """

    student: str
    teacher: str
    student_shape: Shape
    teacher_shape: Shape
    adaptive: bool

    def __str__(self) -> str:
        return f"{self.student} {self.student_shape} <- {self.teacher} {self.teacher_shape}"


class Stage(NamedTuple):
    """The module that a stage ends with, and the shape of one row's output."""

    path: str
    shape: Shape


def suggest_pairs(student: nn.Module, teacher: nn.Module, inputs: Any) -> list[LayerPair]:
    """Pairs in the order of depth, shallow ones first; none where the two nets have no stages of one kind.

    Args:
        student, teacher: they are run once, in evaluation mode, and left in the mode that they had.
        inputs: a batch of two rows or so, what both models are called with.
    """
    layout, ours = find_stages(student, inputs)
    other_layout, theirs = find_stages(teacher, inputs)
    if layout is not other_layout:
        return []
    together = _by_depth(ours, theirs)
    if layout in (Layout.MAP, Layout.SIGNAL):
        by_size = _by_size(ours, theirs)
        if 2 * len(by_size) >= min(len(ours), len(theirs)):
            together = by_size
    return [layer_pair(our, their) for our, their in together]


def layer_pair(student: Stage, teacher: Stage) -> LayerPair:
    """Two stages as a pair."""
    return LayerPair(student.path, teacher.path, student.shape, teacher.shape, student.shape != teacher.shape)


def layout_of(shape: Shape, inputs: Any) -> Layout | None:
    """What the axes of an output mean, by how many there are; two axes are a signal's where the input is a signal."""
    signal = isinstance(inputs, Tensor) and inputs.ndim == 3
    return {1: Layout.VECTOR, 2: Layout.SIGNAL if signal else Layout.TOKENS, 3: Layout.MAP}.get(len(shape))


def find_stages(model: nn.Module, inputs: Any) -> tuple[Layout | None, list[Stage]]:
    """The stages of a net, shallow ones first, and the layout that they share."""
    shapes = layer_shapes(model, inputs)
    for layout, find in FINDERS.items():
        of_layout = {path: shape for path, shape in shapes.items() if layout_of(shape, inputs) is layout}
        if stages := find(model, of_layout):
            return layout, stages
    return None, []


def _spatial_stages(model: nn.Module, shapes: Mapping[str, Shape]) -> list[Stage]:
    """The last module at each resolution at which convolutions work."""
    spans: dict[str, set[Shape]] = defaultdict(set)
    convolutions: list[Shape] = []
    for path, shape in shapes.items():
        weight = getattr(model.get_submodule(path), "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == len(shape) + 1 and max(shape[1:]) > 1:
            convolutions.append(shape[1:])
            parts = path.split(".")
            for depth in range(len(parts)):
                spans[".".join(parts[: depth + 1])].add(shape[1:])
    sizes = Counter(convolutions)  # in the order of the forward pass
    if convolutions and sizes[convolutions[0]] == 1:
        del sizes[convolutions[0]]
    # A block that shrinks its input works at two resolutions, so two make a trunk only where three find nothing
    return max((_last_at(sizes, shapes, _opened(model, spans, least)) for least in (3, 2)), key=len)


def _last_at(sizes: Mapping[Shape, int], shapes: Mapping[str, Shape], candidates: set[str]) -> list[Stage]:
    last = {shape[1:]: Stage(path, shape) for path, shape in shapes.items() if path in candidates}
    return [last[size] for size in sizes if size in last]


def _opened(model: nn.Module, spans: Mapping[str, set[Shape]], least: int, under: str = "") -> set[str]:
    """The children of the net, with those of every child that works at ``least`` or more resolutions in its place."""
    found: set[str] = set()
    for name, child in model.named_children():
        path = f"{under}{name}"
        trunk = len(spans.get(path, ())) >= least
        found |= _opened(child, spans, least, f"{path}.") if trunk else {path}
    return found


def _blocks(_: nn.Module, shapes: Mapping[str, Shape]) -> list[Stage]:
    """Modules whose paths differ in one number alone: the shallowest group of several, the largest and last of those."""
    groups: dict[tuple[str, ...], list[Stage]] = defaultdict(list)
    for path, shape in shapes.items():
        parts = path.split(".")
        for index, part in enumerate(parts):
            if part.isdigit():
                groups[(*parts[:index], "*", *parts[index + 1 :])].append(Stage(path, shape))
    ordered = list(groups.items())

    def rank(number: int) -> tuple[bool, int, int, int]:
        pattern, stages = ordered[number]
        return len(stages) > 1, -len(pattern), len(stages), number

    return ordered[max(range(len(ordered)), key=rank)][1] if ordered else []


def _linear_stages(model: nn.Module, shapes: Mapping[str, Shape]) -> list[Stage]:
    """The last module of each hidden linear layer; dropout is no layer to imitate."""
    stages: list[Stage] = []
    for path, shape in shapes.items():
        module = model.get_submodule(path)
        if any(True for _ in module.children()) or isinstance(module, nn.Dropout | nn.Identity):
            continue
        if isinstance(module, nn.Linear):
            stages.append(Stage(path, shape))
        elif stages:
            stages[-1] = Stage(path, shape)
    return stages[:-1]


FINDERS: Mapping[Layout, Callable[[nn.Module, Mapping[str, Shape]], list[Stage]]] = {
    Layout.MAP: _spatial_stages,
    Layout.SIGNAL: _spatial_stages,
    Layout.TOKENS: _blocks,
    Layout.VECTOR: _linear_stages,
}


def _by_size(ours: Sequence[Stage], theirs: Sequence[Stage]) -> list[tuple[Stage, Stage]]:
    at = {stage.shape[1:]: stage for stage in theirs}
    return [(stage, at[stage.shape[1:]]) for stage in ours if stage.shape[1:] in at]


def _by_depth(ours: Sequence[Stage], theirs: Sequence[Stage]) -> list[tuple[Stage, Stage]]:
    count = min(len(ours), len(theirs))
    return [(_at_depth(ours, number, count), _at_depth(theirs, number, count)) for number in range(1, count + 1)]


def _at_depth(stages: Sequence[Stage], number: int, of: int) -> Stage:
    return stages[int(number * len(stages) / of + 0.5) - 1]
