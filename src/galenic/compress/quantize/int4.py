"""Four-bit weights after training: for size alone (activations stay float), or with 8-bit activations (W4A8).

    integer = clip(round(w / scale), -7, 7)          scale with the least squared error (scales.py), since 15 levels are few
Rounding to the nearest integer is what four bits cannot afford: which way a weight is rounded is learned (adaround.py). No
runtime computes four bits faster than eight for all nets; what W4A8 saves is size.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import ClassVar

from pydantic import Field
from torch import fx

from galenic.compress.method import Bench, TeacherNeed
from galenic.compress.quantize.adaround import AdaRound, round_layers
from galenic.compress.quantize.calibrate import Batches
from galenic.compress.quantize.static import Choices, Rows, already_quantized, quantize_static, refuse_text
from galenic.compress.quantize.static_int8 import calibrated, task_rows
from galenic.compress.quantize.weights import (
    Rounder,
    bake,
    dead_channels,
    halve,
    kept_layers,
    weight_points,
)
from galenic.record.base import Record
from galenic.record.quant import FLOAT_BITS, Arithmetic, LayerRule, Observer, QuantRule, QuantSpec
from galenic.zoo.graph import bound, folded, graph_tensor, layers, outputs_first
from galenic.zoo.model import Model, weights_hash


class Rounding(StrEnum):
    """Which integer a weight becomes: the nearest one, or the one of both neighbours that changes the layer's output least."""

    NEAREST = "nearest"
    ADAROUND = "adaround"


def quantize_weights(model: Model, rule: QuantRule, rows: Batches, rounding: Rounder | None = None) -> Model:
    """The model with its weights on their grids; activations and biases stay float.

    Args:
        model: float.
        rule: bits, channels and groups.
        rows: that rounding is learned on.
        rounding: of the weights; to the nearest integer where None.

    Raises:
        ModelError: it is quantized already, cannot be traced, or a pattern of the rule matches no layer.
    """
    if model.quant is not None:
        raise already_quantized(model)
    start, graph = folded(model)
    made = replace(start, module=deepcopy(start.module))
    own = bound(graph, made)
    points = weight_points(graph, rule, {})
    if rounding is None:
        bake(own, points)
    else:
        rounding(graph, own, points, rows)
    halve(own, rule)
    spec = QuantSpec(
        rule=rule,
        points=points,
        stays_float=kept_layers(graph, rule),
        weights_hash=weights_hash(made),
        notes=(*dead_channels(graph), *undivided(graph, rule)),
    )
    return replace(made, quant=spec)


def undivided(graph: fx.GraphModule, rule: QuantRule) -> tuple[str, ...]:
    """A sentence for each layer whose weights do not come in whole groups."""
    said = []
    for name, node in layers(graph).items():
        weight = outputs_first(node, graph_tensor(graph, node.args[1]))
        channel = weight.numel() // len(weight)
        if rule.group_size and rule.bits_of(name)[0] < FLOAT_BITS and channel % rule.group_size:
            said.append(
                f"{name} has {channel} weights per channel, no whole groups of {rule.group_size}: one scale for all"
            )
    return tuple(said)


class WeightInt4(Record):
    """Four-bit weights, stored small and computed on in float.

    Attributes:
        bits: of the weights, 2 to 8.
        group_size: neighbouring weights of a channel that share a scale (32, 64, 128); 0 for the whole channel.
        rounding: to the nearest integer, or learned on the calibration rows.
        adaround: how it is learned.
        keep: patterns of module paths that stay float.
        layers: other bits for some layers.
    """

    name: ClassVar[str] = "weight_int4"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE

    bits: int = Field(default=4, ge=2, le=8)
    group_size: int = Field(default=0, ge=0)
    rounding: Rounding = Rounding.ADAROUND
    adaround: AdaRound = AdaRound()
    keep: tuple[str, ...] = ()
    layers: tuple[LayerRule, ...] = ()

    @property
    def rule(self) -> QuantRule:
        """Weights alone."""
        return QuantRule(
            arithmetic=Arithmetic.WEIGHTS,
            weight_bits=self.bits,
            activation_bits=FLOAT_BITS,
            group_size=self.group_size,
            keep=self.keep,
            layers=self.layers,
        )

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a text net whose rounding is to be learned: its rows are not gone through layer by layer."""
        if self.rounding is Rounding.ADAROUND:
            refuse_text(model, "whose rounding is to be learned", "choose rounding = 'nearest'")

    def quantized(self, model: Model, rows: Rows, seed: int = 0) -> Model:
        """The module with its weights on their grids and a QuantSpec of them."""
        self.refuse_model(model)
        return quantize_weights(model, self.rule, rows.calibration, rounder(self.rounding, self.adaround, seed))

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The same on the task's calibration rows, where those are looked at."""
        made = self.quantized(model, task_rows(bench.task), bench.seed)
        if self.rounding is Rounding.NEAREST:
            return [replace(made, lineage=(*model.lineage, self.name))]
        return [calibrated(made, model, bench.task, self.name)]


class StaticW4A8(Record):
    """Four-bit weights with 8-bit activations, calibrated on the task's calibration rows.

    Attributes:
        bits: of the weights, 2 to 8, one scale per output channel.
        end_bits: of the weights of the first and the last layer, which are small and hurt most; 0 gives them no more than others.
        rounding: to the nearest integer, or learned on the calibration rows.
        adaround: how it is learned.
        observer: how activation ranges are found; measured on validation rows where None.
        correct_bias: whether the means that rounding moves are corrected; measured where None.
        equalise: whether the weights of neighbouring layers are balanced first; measured where None.
        tune_ranges: whether all ranges are tuned together; where None measured, if much is lost without.
        keep: patterns of module paths that stay float.
        layers: other bits for some layers.
    """

    name: ClassVar[str] = "static_w4a8"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE

    bits: int = Field(default=4, ge=2, le=8)
    end_bits: int = Field(default=8, ge=0, le=8)
    rounding: Rounding = Rounding.ADAROUND
    adaround: AdaRound = AdaRound()
    observer: Observer | None = None
    correct_bias: bool | None = None
    equalise: bool | None = None
    tune_ranges: bool | None = None
    keep: tuple[str, ...] = ()
    layers: tuple[LayerRule, ...] = ()

    @property
    def rule(self) -> QuantRule:
        """Static integers; the bits of the ends and the calibration rows are filled in by ``apply``."""
        return QuantRule(weight_bits=self.bits, observer=self.observer, keep=self.keep, layers=self.layers)

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a text net: static ranges of its activations are not supported."""
        refuse_text(model, "as static integers")

    def quantized(self, model: Model, rows: Rows, seed: int = 0) -> Model:
        """The module with its weights on their grids and a QuantSpec with every point."""
        self.refuse_model(model)
        rounding = rounder(self.rounding, self.adaround, seed)
        choices = Choices(self.observer, self.correct_bias, self.equalise, self.tune_ranges, rounding)
        return quantize_static(model, self.rule, rows, choices, self.end_bits)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The same on the task's rows."""
        return [calibrated(self.quantized(model, task_rows(bench.task), bench.seed), model, bench.task, self.name)]


def rounder(rounding: Rounding, config: AdaRound, seed: int) -> Rounder | None:
    """What rounds the weights; None for the nearest integers."""
    return partial(round_layers, config=config, seed=seed) if rounding is Rounding.ADAROUND else None
