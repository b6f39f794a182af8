"""Quantization-aware training (Jacob et al., CVPR 2018, arXiv:1712.05877), with learned ranges and scales (Esser et al., ICLR 2020,
arXiv:1902.08153; Bhalgat et al. 2020, arXiv:2004.09576).

    fold batch norm -> calibrate -> train the graph that rounds (``aware_graph``, ``fake``) -> weights on their grids, QuantSpec
The forward pass of the training is the simulation, so the finished model answers as the trained graph did. Batch norms are
folded, or keep their statistics where they cannot be; dropout and stochastic depth are left out, since the graph is that of
evaluation. So a trained net is what to start from. Labels, teachers and features are learned as in any training, in one phase.
Under bfloat16 rounding is in float32, but layers compute on eight significant bits: float32 is meant for the last epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import fx, nn

from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.compress.quantize.aware_graph import aware, learned_points
from galenic.compress.quantize.calibrate import Batches, calibrate
from galenic.compress.quantize.fake import LearnedRange, LearnedWeightGrid
from galenic.compress.quantize.grid import activation_point, affine_grid
from galenic.compress.quantize.places import grids, logits
from galenic.compress.quantize.simulate import answers
from galenic.compress.quantize.static import already_quantized, place, refuse_text, widthless
from galenic.compress.quantize.static_int8 import calibrated_rule, task_rows
from galenic.compress.quantize.weights import (
    bake,
    bake_biases,
    dead_channels,
    halve,
    inputs_of,
    kept_layers,
    with_end_bits,
)
from galenic.record.base import Record
from galenic.record.quant import LayerRule, Observer, QuantPoint, QuantRule, QuantSpec, TensorRole
from galenic.training.callbacks import Callback, State
from galenic.zoo.graph import folded
from galenic.zoo.model import Model, weights_hash


def freeze_grids(graph: nn.Module, frozen: bool) -> None:
    """Whether the ranges and scales of a graph that rounds stay as they are."""
    for module in graph.modules():
        if isinstance(module, LearnedRange | LearnedWeightGrid):
            given = isinstance(module, LearnedRange) and module.given
            module.requires_grad_(not frozen and not given)


def bake_learned(
    trained: fx.GraphModule, graph: fx.GraphModule, points: Sequence[QuantPoint], rule: QuantRule
) -> tuple[QuantPoint, ...]:
    """Put the trained weights and biases on the learned grids, in the model that ``graph`` shares its parameters with.

    Args:
        trained: the graph that rounds, in evaluation mode.
        graph: what it was made of.
        points: that the training started from.
        rule: which bits the layers have.

    Returns:
        The points as they were learned.
    """
    own = dict(graph.named_parameters())
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if name in own:
                own[name].copy_(parameter)
    learned = learned_points(trained, graph, points)
    bake(graph, learned)
    halve(graph, rule)
    bake_biases(graph, learned, inputs_of(graph))
    return learned


class QAT(Record):
    """Train with integers in the forward pass; ranges and scales are learned with the weights.

    Attributes:
        weight_bits: 2 to 8, one scale per output channel.
        activation_bits: 2 to 8; runtimes compute on 8.
        end_bits: of the weights of the first and the last layer, where those have fewer: they are small and hurt most. 0 gives
            them no more than the others.
        observer: how activation ranges are found to start from.
        learned_until: the share of the epochs after which ranges and scales stay as they are; 0 never learns them, 1 always.
        keep: patterns of module paths that stay float.
        layers: other bits for some layers.

    A method of the same phase that suggests layers by itself is named before this one: batch norms are still there then.
    """

    name: ClassVar[str] = "qat"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE

    weight_bits: int = Field(default=8, ge=2, le=8)
    activation_bits: int = Field(default=8, ge=2, le=8)
    end_bits: int = Field(default=8, ge=0, le=8)
    observer: Observer = Observer.MSE
    learned_until: float = Field(default=0.8, ge=0, le=1)
    keep: tuple[str, ...] = ()
    layers: tuple[LayerRule, ...] = ()

    @property
    def rule(self) -> QuantRule:
        """Static integers; the bits of the ends and the calibration rows are filled in by ``contribute``."""
        return QuantRule(
            weight_bits=self.weight_bits,
            activation_bits=self.activation_bits,
            keep=self.keep,
            layers=self.layers,
            observer=self.observer,
        )

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a text net: static ranges of its activations are not supported."""
        refuse_text(model, "for training with static integers")

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The graph that rounds; what it is to learn is left to others."""
        self.refuse_model(model)
        if model.quant is not None:
            raise already_quantized(model)
        start, graph = folded(model)
        rule = calibrated_rule(with_end_bits(self.rule, graph, self.end_bits), bench.task)
        kept, rows = kept_layers(graph, rule), task_rows(bench.task).calibration
        seen = calibrate(graph, rows)
        points = place(graph, rule, seen, self.observer)

        def freeze(state: State) -> None:
            freeze_grids(state.model, state.epoch >= self.learned_until * state.epochs)

        def finish(trained: Model) -> Model:
            assert isinstance(trained.module, fx.GraphModule)
            learned = bake_learned(trained.module, graph, points, rule)
            spec = QuantSpec(
                rule=rule,
                points=_with_logits(graph, learned, rows),
                shares={name: grid for name, grid in grids(graph).items() if grid not in (None, name)},
                stays_float=kept,
                weights_hash=weights_hash(start),
                notes=(*dead_channels(graph), *widthless(points, seen)),
            )
            return replace(start, quant=spec)

        return Contribution(
            replace(start, module=aware(graph, points)), callbacks=(Callback(epoch_starts=freeze),), finish=finish
        )

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained model with its weights on their grids and a QuantSpec with every point."""
        return [train_together([self], model, bench)]


def _with_logits(graph: fx.GraphModule, points: Sequence[QuantPoint], rows: Batches) -> tuple[QuantPoint, ...]:
    """The points, with that of the logits as wide as they are on the calibration rows."""
    name = logits(graph)
    found = answers(graph, rows, points, without=(name,))
    return tuple(
        activation_point(name, affine_grid(float(found.min()), float(found.max()), point.bits), point.bits)
        if point.tensor == name and point.role is not TensorRole.WEIGHT
        else point
        for point in points
    )
