"""Dynamic INT8: integer weights, and activations that the runtime rounds by their own range as they come (for transformers).

    y = s(x) s(W) sum q(x) q(W)      s(x) from the largest value of x: of one group of one row, or of one call, as the runtime does
Dense layers alone: they hold nearly all of a transformer's weights, and where attention makes ranges that differ much between
rows one fixed range fits none. There is nothing to calibrate.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

from torch import fx

from galenic.compress.method import Bench, TeacherNeed
from galenic.compress.quantize.static import Rows, already_quantized
from galenic.compress.quantize.weights import bake, dead_channels, kept_layers, weight_points
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule, QuantSpec
from galenic.zoo.graph import ATEN, layers, traced
from galenic.zoo.model import Model, weights_hash


def quantize_dense(model: Model, rule: QuantRule) -> Model:
    """The model with the weights of its dense layers on their grids; every other layer stays float.

    Raises:
        ModelError: it is quantized already, cannot be traced, has no dense layer, or a pattern matches no layer.
    """
    if model.quant is not None:
        raise already_quantized(model)
    made = replace(model, module=deepcopy(model.module))
    graph = traced(made)
    dense = dense_layers(graph)
    kept = set(kept_layers(graph, rule)) | (set(layers(graph)) - set(dense))
    if not set(dense) - kept:
        raise ModelError(
            given=f"{model.spec.architecture} without a dense layer to quantize",
            expected="a net with dense layers, such as a transformer",
            todo="choose static_int8 for convolutions, or keep fewer layers",
        )
    points = tuple(point for point in weight_points(graph, rule, {}) if point.tensor not in kept)
    bake(graph, points)
    spec = QuantSpec(
        rule=rule,
        points=points,
        stays_float=tuple(name for name in layers(graph) if name in kept),
        weights_hash=weights_hash(made),
        notes=dead_channels(graph),
    )
    return replace(made, quant=spec)


def dense_layers(graph: fx.GraphModule) -> list[str]:
    """The names of the dense layers, in the order of computation."""
    return [name for name, node in layers(graph).items() if node.target is ATEN.linear.default]


class DynamicInt8(Record):
    """INT8 weights of dense layers; activations in integers too, each by its own range.

    Attributes:
        per_channel: one weight scale per output channel.
        keep: patterns of module paths that stay float.
    """

    name: ClassVar[str] = "dynamic_int8"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE

    per_channel: bool = True
    keep: tuple[str, ...] = ()

    @property
    def rule(self) -> QuantRule:
        """INT8 weights and activations, the latter rounded as they come."""
        return QuantRule(arithmetic=Arithmetic.DYNAMIC, per_channel=self.per_channel, keep=self.keep)

    def quantized(self, model: Model, rows: Rows, seed: int = 0) -> Model:
        """The module with its dense weights on their grids; the rows are not read."""
        del rows, seed
        return quantize_dense(model, self.rule)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The module with its dense weights on their grids; the bench is not read."""
        del bench
        return [replace(quantize_dense(model, self.rule), lineage=(*model.lineage, self.name))]
