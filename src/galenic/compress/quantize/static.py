"""Static quantization after training: from a float model and calibration rows to a model on its grids.

    fold batch norm -> (equalise) -> find ranges -> round the weights -> (correct biases) -> (tune ranges) -> QuantSpec
What is not said is chosen by measuring: the observer, then whether biases are corrected, then whether layers are equalised, then,
where much is still lost, whether all ranges are tuned together. A candidate is better where the divergence of its simulation
from the float model on validation rows is smaller; an optional step has to be better by more than a standard error of the
paired difference, or it is left out. Choices are made with weights rounded to the nearest integer; where another rounding is
asked for, it is what is done last.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, fx

from galenic.compress.quantize.bias_correction import correct_biases
from galenic.compress.quantize.calibrate import Batches, calibrate
from galenic.compress.quantize.equalise import equalise
from galenic.compress.quantize.grid import activation_point, affine_grid
from galenic.compress.quantize.observers import Seen, observed_range
from galenic.compress.quantize.places import gate_grid, grids, logits, maker, quantized_tensors
from galenic.compress.quantize.simulate import answers, divergence
from galenic.compress.quantize.tuning import tuned
from galenic.compress.quantize.weights import (
    Rounder,
    bake,
    bake_biases,
    dead_channels,
    halve,
    inputs_of,
    kept_layers,
    weight_points,
    with_end_bits,
)
from galenic.record.errors import ModelError
from galenic.record.quant import HALF_BITS, Observer, QuantPoint, QuantRule, QuantSpec, TensorRole
from galenic.record.task import TaskKind
from galenic.zoo.graph import INPUT, bound, folded, tensors
from galenic.zoo.model import Model, weights_hash

MUCH = 2e-3
"""Nats: where less is lost decisions hardly change, and ranges are not tuned unless it is asked for."""


@dataclass(frozen=True)
class Choices:
    """Fixed where given, measured where None; ``rounding`` is of the weights, None for the nearest integer."""

    observer: Observer | None = None
    correct_bias: bool | None = None
    equalise: bool | None = None
    tune_ranges: bool | None = None
    rounding: Rounder | None = None


@dataclass(frozen=True)
class Rows:
    """What is calibrated on and what choices are measured on; never the test set."""

    calibration: Batches
    validation: Batches
    kind: TaskKind = TaskKind.SINGLE_LABEL


@runtime_checkable
class PostTraining(Protocol):
    """A method that needs rows to calibrate on, and no task: ``gx.quantize(module, batches)`` takes it."""

    def quantized(self, model: Model, rows: Rows, seed: int) -> Model:
        """The model with its weights on their grids and a QuantSpec."""


@dataclass(frozen=True)
class Candidate:
    """One way to quantize, with every choice made, and what it loses."""

    choices: Choices
    model: Model
    points: tuple[QuantPoint, ...]
    divergence: Float[Tensor, " rows"]

    @property
    def name(self) -> str:
        """Such as ``mse + bias correction``."""
        steps = {
            "bias correction": self.choices.correct_bias,
            "equalisation": self.choices.equalise,
            "tuned ranges": self.choices.tune_ranges,
            "learned rounding": self.choices.rounding,
        }
        assert self.choices.observer is not None
        return " + ".join([self.choices.observer.value, *(step for step, taken in steps.items() if taken)])


@dataclass
class Workshop:
    """The float model in its two forms, folded and equalised, with what was seen in each: it is calibrated once."""

    folded: Model
    graph: fx.GraphModule
    rule: QuantRule
    rows: Rows
    reference: Float[Tensor, "rows classes"]
    _forms: dict[bool, tuple[Model, dict[str, Seen]]] = field(default_factory=dict)

    def form(self, equalised: bool) -> tuple[Model, dict[str, Seen]]:
        """The float model, equalised or not, and what calibration saw of it."""
        if equalised not in self._forms:
            model = replace(self.folded, module=deepcopy(self.folded.module))
            graph = bound(self.graph, model)
            if equalised:
                equalise(graph)
            self._forms[equalised] = model, calibrate(graph, self.rows.calibration)
        return self._forms[equalised]

    def candidate(self, choices: Choices) -> Candidate:
        """The model quantized so, every choice being made, and how far it is from the float one."""
        start, seen = self.form(bool(choices.equalise))
        model = replace(start, module=deepcopy(start.module))
        before, graph = bound(self.graph, start), bound(self.graph, model)
        assert choices.observer is not None
        points = place(graph, self.rule, seen, choices.observer)
        if choices.rounding is None:
            bake(graph, points)
        else:
            choices.rounding(before, graph, points, self.rows.calibration)
        if choices.correct_bias:
            correct_biases(before, graph, self.rows.calibration)
        if choices.tune_ranges:
            points = tuned(before, graph, points, self.rows.calibration, self.rows.kind)
        halve(graph, self.rule)
        bake_biases(graph, points, inputs_of(graph))
        found = answers(graph, self.rows.validation, points, without=(logits(graph),))
        return Candidate(choices, model, points, divergence(self.reference, found, self.rows.kind))


def quantize_static(
    model: Model, rule: QuantRule, rows: Rows, choices: Choices = Choices(), end_bits: int = 0
) -> Model:
    """The model with its weights on their grids and a QuantSpec with every point.

    Args:
        model: float.
        rule: which bits.
        rows: to calibrate and to choose on.
        choices: what is not to be measured.
        end_bits: of the weights of the first and the last layer, where the rule gives them fewer.

    Raises:
        ModelError: it is quantized already, cannot be traced, or a pattern of the rule matches no layer.
        DataError: the calibration rows are missing, all zero or not finite.
    """
    if model.quant is not None:
        raise already_quantized(model)
    start, graph = folded(model)
    rule = with_end_bits(rule, graph, end_bits)
    kept = kept_layers(graph, rule)
    shop = Workshop(start, graph, rule, rows, answers(graph, rows.validation))
    chosen, measured = choose(shop, choices)
    found = rule.model_copy(update={"observer": chosen.choices.observer})
    spec = QuantSpec(
        rule=found,
        points=chosen.points,
        shares={name: grid for name, grid in grids(graph).items() if grid not in (None, name)},
        stays_float=kept,
        weights_hash=weights_hash(chosen.model),
        measured=measured,
        notes=(*dead_channels(graph), *widthless(chosen.points, shop.form(bool(chosen.choices.equalise))[1])),
    )
    return replace(chosen.model, quant=spec)


def choose(shop: Workshop, choices: Choices) -> tuple[Candidate, dict[str, float]]:
    """The best candidate, and the mean divergence of all that were measured."""
    plain = Choices(choices.observer, bool(choices.correct_bias), bool(choices.equalise), bool(choices.tune_ranges))
    observers = list(Observer) if choices.observer is None else [choices.observer]
    tried = [shop.candidate(replace(plain, observer=observer)) for observer in observers]
    best = min(tried, key=lambda one: float(one.divergence.mean()))
    for step in ("correct_bias", "equalise", "tune_ranges"):
        if getattr(choices, step) is not None or (step == "tune_ranges" and float(best.divergence.mean()) <= MUCH):
            continue
        taken: dict[str, Any] = {step: True}
        tried.append(shop.candidate(replace(best.choices, **taken)))
        best = tried[-1] if is_better(tried[-1].divergence, best.divergence) else best
    if choices.rounding is not None:
        best = shop.candidate(replace(best.choices, rounding=choices.rounding))
        tried.append(best)
    return best, {one.name: float(one.divergence.mean()) for one in tried}


def is_better(found: Float[Tensor, " rows"], before: Float[Tensor, " rows"]) -> bool:
    """Whether the divergence fell by more than one standard error of the paired difference."""
    difference = before - found
    error = float(difference.std()) / len(difference) ** 0.5 if len(difference) > 1 else 0.0
    return float(difference.mean()) > error


def place(graph: fx.GraphModule, rule: QuantRule, seen: dict[str, Seen], observer: Observer) -> tuple[QuantPoint, ...]:
    """Every point of a folded model's graph: activations by an observer (gates have a grid given), weights by themselves."""
    points, named = [], tensors(graph)
    for name in quantized_tensors(graph, kept_layers(graph, rule)):
        bits = rule.bits_of(maker(graph, name))[1]
        bits = rule.activation_bits if bits >= HALF_BITS else bits  # float for its layer, integer for the next one
        grid = gate_grid(named[name], bits) or affine_grid(*observed_range(observer, seen[name], bits), bits)
        role = TensorRole.INPUT if name == INPUT else TensorRole.OUTPUT
        points.append(activation_point(name, grid, bits, role))
    scales = {point.tensor: point.scale[0] for point in points}
    inputs = {layer: scales[source] for layer, source in inputs_of(graph).items() if source in scales}
    return (*points, *weight_points(graph, rule, inputs))


def already_quantized(model: Model) -> ModelError:
    """A model cannot be quantized twice: its weights would be rounded to the grid of a rounded model."""
    assert model.quant is not None
    return ModelError(
        given=f"{model.spec.architecture}, which is quantized already ({' -> '.join(model.lineage)})",
        expected="a float model",
        todo="quantize the model that it was made from, or leave this step out",
    )


def refuse_text(model: Model, purpose: str, todo: str = "choose dynamic_int8") -> None:
    """Raise ModelError for a text net: static ranges of its activations are not supported."""
    if hasattr(model.module, "vocabulary"):
        raise ModelError(
            given=f"{model.spec.architecture}, a text net, {purpose}",
            expected="a net for images, signals or tables",
            todo=todo,
        )


def widthless(points: Sequence[QuantPoint], seen: dict[str, Seen]) -> list[str]:
    """A sentence for each activation that was the same number for every calibration row."""
    return [
        f"{point.tensor} was {seen[point.tensor].low:g} for every calibration row"
        for point in points
        if point.role is not TensorRole.WEIGHT and seen[point.tensor].low == seen[point.tensor].high
    ]
