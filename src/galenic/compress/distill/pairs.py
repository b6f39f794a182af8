"""The pairs of layers that a method compares: named in its options, or suggested; and where it is said which they were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.compress.distill.suggest import LayerPair, Layout, Stage, layer_pair, layout_of, suggest_pairs
from galenic.compress.method import Bench
from galenic.preprocess.transform import to_inputs
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality
from galenic.record.task import Task
from galenic.store.files import write_text
from galenic.training.layers import layer_named, layer_shapes

SAMPLE_ROWS = 2
PAIRS_SUFFIX = "-pairs.json"


class Pair(Record):
    """A student's layer that is to resemble a teacher's, by module path, and how much that weighs."""

    student: str
    teacher: str
    weight: float = Field(default=1.0, gt=0)


class WeightedPair(NamedTuple):
    """A pair that is there in both nets, what its axes are on either side, and how much it weighs."""

    layers: LayerPair
    weight: float
    student_layout: Layout
    teacher_layout: Layout

    @property
    def named(self) -> Pair:
        """The pair as a recipe names it."""
        return Pair(student=self.layers.student, teacher=self.layers.teacher, weight=self.weight)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of the student's and of the teacher's row, (channel, *positions)."""
        both = ((self.layers.student_shape, self.student_layout), (self.layers.teacher_shape, self.teacher_layout))
        student, teacher = (shape[::-1] if layout is Layout.TOKENS else shape for shape, layout in both)
        return student, teacher

    @property
    def smaller_size(self) -> tuple[int, ...]:
        """The smaller of both sizes, position axis by position axis."""
        student, teacher = self.shapes
        return tuple(map(min, student[1:], teacher[1:]))

    @property
    def both(self) -> str:
        """The two layers with their shapes, for people."""
        pair = self.layers
        return (
            f"the student's {pair.student} of shape {pair.student_shape} {self.student_layout.value} "
            f"and the teacher's {pair.teacher} of shape {pair.teacher_shape} {self.teacher_layout.value}"
        )


def settled_pairs(bench: Bench, student: nn.Module, teacher: nn.Module, named: Sequence[Pair]) -> list[WeightedPair]:
    """The pairs that were named, with their shapes; where none were, those that are suggested.

    Raises:
        ModelError: a layer is not there or returns no single tensor, nothing can be suggested, or the task is text.
    """
    preprocessing = bench.task.preprocessing
    if preprocessing.modality is Modality.TEXT:
        raise ModelError(
            given=f"the task {bench.task.name}, which is text: its rows are padded, and padding says nothing",
            expected="images, signals or tables",
            todo="use a method for transformers, which leaves the padding out",
        )
    inputs = sample_inputs(bench.task)
    pairs = named_or_suggested(student, teacher, named, inputs)
    weights = [pair.weight for pair in named] or [1.0] * len(pairs)
    return [
        WeightedPair(pair, weight, _layout(pair.student_shape, inputs), _layout(pair.teacher_shape, inputs))
        for pair, weight in zip(pairs, weights, strict=True)
    ]


def sample_inputs(task: Task) -> Tensor:
    """A few rows, to see the shapes of layers."""
    return torch.from_numpy(to_inputs(task.preprocessing, task.train.inputs[:SAMPLE_ROWS]))


def named_or_suggested(
    student: nn.Module, teacher: nn.Module, named: Sequence[Pair], inputs: Tensor
) -> list[LayerPair]:
    """The named pairs with their shapes, or where none are named the suggested ones; ModelError where there are none."""
    if named:
        ours, theirs = layer_shapes(student, inputs), layer_shapes(teacher, inputs)
        return [
            layer_pair(
                _stage(student, ours, pair.student, "the student"), _stage(teacher, theirs, pair.teacher, "the teacher")
            )
            for pair in named
        ]
    pairs = suggest_pairs(student, teacher, inputs)
    if not pairs:
        raise ModelError(
            given="no pairs of layers, and two nets in which no stages of one kind were found",
            expected="pairs of module paths",
            todo='name them: pairs = [{student = "...", teacher = "..."}]',
        )
    return pairs


def announce(bench: Bench, method: str, pairs: Sequence[Pair], described: Sequence[object], note: str) -> None:
    """Say which pairs are compared, to who watches and in ``METHOD-pairs.json``, which stays in the stage's folder."""
    bench.progress(f"{method}: layers", 1, 1, "; ".join([*map(str, described), note]))
    told = zip(pairs, described, strict=True)
    content = {"pairs": [pair.model_dump(mode="json") | {"shapes": str(one)} for pair, one in told], "note": note}
    write_text(bench.folder / f"{method}{PAIRS_SUFFIX}", json.dumps(content, indent=1) + "\n")


def channels_first(features: Tensor, layout: Layout) -> Tensor:
    """(batch, channel, *positions) of any layout: a token's dimensions are its channels, a vector has no positions."""
    return features.transpose(1, 2) if layout is Layout.TOKENS else features


def resized(features: Tensor, size: tuple[int, ...]) -> Tensor:
    """(batch, channel, *positions) to (batch, channel, *size): adaptive average pooling down, linear interpolation up."""
    down = tuple(map(min, features.shape[2:], size))
    if down != tuple(features.shape[2:]):
        pool = F.adaptive_avg_pool1d if len(size) == 1 else F.adaptive_avg_pool2d
        features = pool(features, down)  # type: ignore[arg-type]
    if down != size:
        features = F.interpolate(features, size, mode="linear" if len(size) == 1 else "bilinear", align_corners=False)
    return features


def _stage(model: nn.Module, shapes: dict[str, tuple[int, ...]], path: str, whose: str) -> Stage:
    layer_named(model, path, whose)
    if path in shapes:
        return Stage(path, shapes[path])
    raise ModelError(
        given=f"the layer '{path}' of {whose}, which is not called or returns something other than one tensor",
        expected="a module that returns one tensor in the forward pass",
        todo="name a module inside it or around it",
    )


def _layout(shape: tuple[int, ...], inputs: Tensor) -> Layout:
    layout = layout_of(shape, inputs)
    if layout is None:
        raise ModelError(
            given=f"a layer whose output has the shape {shape} per row",
            expected=f"one of {', '.join(layout.value for layout in Layout)}",
            todo="name another layer",
        )
    return layout
