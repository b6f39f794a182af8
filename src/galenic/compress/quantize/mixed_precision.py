"""Mixed precision after training: layers that hurt get more bits, so that the file keeps within a budget.

    minimise  sum over layers of sensitivity(layer, bits)      subject to  sum of cost(layer, bits) <= budget
(ZeroQ: Cai et al., CVPR 2020, arXiv:2001.00281; HAWQ-V3: Yao et al., ICML 2021, arXiv:2011.10680)
    sensitivity   measured: mean KL divergence on validation rows with that layer alone at those bits (sensitivity.py)
    size          bytes of the layer's weights at those bits (costs.py)
    latency       modelled: the measured latency of the whole net at those bits times the layer's share of multiply-
                  accumulates. The assignment is measured, and made anew within less where it is over the budget.
What sums of sensitivities promise is checked: where one precision for all layers fits too and its simulation is nearer to
the float model by more than a standard error, that one is taken. All else is as in static quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, fx

from galenic.compress.method import Bench, TeacherNeed
from galenic.compress.quantize.allocation import Option, allocate
from galenic.compress.quantize.costs import float_bytes, layer_bytes, uniform_bits, weight_bytes, work_shares
from galenic.compress.quantize.sensitivity import measure_layers, whole_divergences
from galenic.compress.quantize.static import Choices, Rows, already_quantized, is_better, quantize_static, refuse_text
from galenic.compress.quantize.static_int8 import calibrated_rule, task_rows
from galenic.compress.quantize.weights import kept_layers
from galenic.record.base import Record
from galenic.record.errors import RecipeError
from galenic.record.measurement import Measurement
from galenic.record.progress import Progress, silent
from galenic.record.quant import (
    FLOAT_BITS,
    HALF_BITS,
    LayerRule,
    LayerSensitivity,
    Observer,
    QuantRule,
    QuantSpec,
    matches,
)
from galenic.zoo.graph import bound, folded, layers
from galenic.zoo.model import Model

Cost = Callable[[Model], Measurement]
ATTEMPTS = 4
"""How often bits are assigned anew where the measured latency is over the budget."""

CLOSER = 0.98
"""By how much less is aimed at then."""


class Precision(StrEnum):
    """What the first or the last layer is, whatever the others get."""

    INT8 = "int8"
    FLOAT16 = "float16"
    FLOAT32 = "float32"

    @property
    def bits(self) -> int:
        """As a LayerRule says it."""
        return {Precision.INT8: 8, Precision.FLOAT16: HALF_BITS, Precision.FLOAT32: FLOAT_BITS}[self]


class Budget(Record):
    """What may be spent: exactly one of these.

    Attributes:
        size_ratio: the bytes of all layers' weights, as a share of their bytes in float32.
        size_bytes: the same in bytes.
        latency_ms: the median time of one answer in the recipe's runtime on this machine.
    """

    size_ratio: float | None = Field(default=None, gt=0, le=1)
    size_bytes: int | None = Field(default=None, gt=0)
    latency_ms: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_of_them(self) -> Budget:
        if sum(value is not None for value in (self.size_ratio, self.size_bytes, self.latency_ms)) != 1:
            raise PydanticCustomError("budget", "exactly one of size_ratio, size_bytes and latency_ms")
        return self

    def bytes_of(self, graph: fx.GraphModule) -> float:
        """The size budget in bytes."""
        return self.size_ratio * float_bytes(graph) if self.size_ratio is not None else float(self.size_bytes or 0)


@dataclass(frozen=True)
class Wanted:
    """Which bits layers may have, within what, and how ranges are found.

    Attributes:
        weight_bits: to choose from, the most first.
        budget: what may be spent.
        first, last: the precision of the first and the last layer; assigned like all others where None.
        choices: of static quantization.
        cost: measures latency.
    """

    weight_bits: tuple[int, ...]
    budget: Budget
    first: Precision | None = None
    last: Precision | None = None
    choices: Choices = field(default_factory=Choices)
    cost: Cost | None = None


@dataclass(frozen=True)
class Layers:
    """A folded model's layers, the bits that each may have (one where the rule says it), and what each costs in all bits."""

    graph: fx.GraphModule
    rule: QuantRule
    bits: Mapping[str, tuple[int, ...]]
    harms: Mapping[tuple[str, int], float]

    def options(self, cost: Callable[[str, int], float]) -> list[list[Option]]:
        """What each layer harms and costs at each of its bits; float harms nothing, and a layer without a choice counts alike."""
        return [
            [Option(self.harms.get((name, bits), 0.0), cost(name, bits)) for bits in those]
            for name, those in self.bits.items()
        ]

    def assigned(self, chosen: Sequence[int]) -> QuantRule:
        """The rule that gives each layer the option of that number."""
        given = {name: those[number] for (name, those), number in zip(self.bits.items(), chosen, strict=True)}
        free = free_layers(self.graph, self.rule)
        rules = (_layer_rule(name, given[name]) for name in free if given[name] != self.rule.weight_bits)
        return self.rule.model_copy(update={"layers": (*self.rule.layers, *rules)})


def quantize_mixed(model: Model, rule: QuantRule, rows: Rows, wanted: Wanted, progress: Progress = silent) -> Model:
    """The model quantized with the bits that harm it least within the budget.

    Args:
        model: float; it is left as it was.
        rule: layers that it keeps or gives weight bits to have those; all others are assigned theirs.
        rows: what ranges are found on, and what is measured on.
        wanted: the bits to choose from, and the budget.
        progress: told how many layers are measured.

    Raises:
        ModelError: the model is quantized already or cannot be traced, or a pattern of the rule matches no layer.
        RecipeError: no assignment is within the budget, or there is nothing that measures latency.
        DataError: the calibration rows are missing, all zero or not finite.
    """
    if model.quant is not None:
        raise already_quantized(model)
    _, graph = folded(model)
    kept_layers(graph, rule)  # refuses patterns that match nothing
    rule = ends_rule(graph, rule, wanted.first, wanted.last)
    rules = [rule.model_copy(update={"weight_bits": bits}) for bits in wanted.weight_bits if bits < HALF_BITS]
    observer = wanted.choices.observer or Observer.MSE
    measured = measure_layers(graph, rules, rows, observer, progress)
    free = free_layers(graph, rule)
    those = Layers(
        graph,
        rule,
        {name: wanted.weight_bits if name in free else (rule.bits_of(name)[0],) for name in layers(graph)},
        {(one.layer, one.weight_bits): one.value for one in measured},
    )
    quantize = partial(quantize_static, model, rows=rows, choices=wanted.choices)
    if wanted.budget.latency_ms is None:
        made = _within_size(those, rows, wanted, quantize)
    else:
        made = _within_latency(model, those, wanted, quantize)
    assert made.quant is not None
    return replace(made, quant=_with_sensitivities(made.quant, graph, measured))


def free_layers(graph: fx.GraphModule, rule: QuantRule) -> tuple[str, ...]:
    """The layers whose weight bits a rule leaves open."""
    said = (*rule.keep, *(one.layer for one in rule.layers if one.weight_bits is not None))
    return tuple(name for name in layers(graph) if not any(matches(pattern, name) for pattern in said))


def ends_rule(graph: fx.GraphModule, rule: QuantRule, first: Precision | None, last: Precision | None) -> QuantRule:
    """The rule with a precision for the first and the last layer; what it says of them already counts more."""
    names = list(layers(graph))
    ends = [(names[0], first), (names[-1], last)]
    own = tuple(_layer_rule(name, precision.bits) for name, precision in ends if precision is not None)
    return rule.model_copy(update={"layers": (*own, *rule.layers)})


Quantize = Callable[[QuantRule], Model]


def _within_size(those: Layers, rows: Rows, wanted: Wanted, quantize: Quantize) -> Model:
    """The best assignment, or one precision for all where that fits too and is measured to be better."""
    graph, rule = those.graph, those.rule
    budget = wanted.budget.bytes_of(graph)
    options = those.options(lambda name, bits: layer_bytes(graph, name, rule, bits))
    made = quantize(those.assigned(allocate(options, budget)))
    alike = uniform_bits(graph, rule, budget, [bits for bits in wanted.weight_bits if bits < HALF_BITS])
    if alike is None:
        return made
    uniform = quantize(rule.model_copy(update={"weight_bits": alike}))
    return uniform if is_better(_whole(graph, uniform, rows), _whole(graph, made, rows)) else made


def _whole(graph: fx.GraphModule, made: Model, rows: Rows) -> Float[Tensor, " rows"]:
    assert made.quant is not None
    return whole_divergences(graph, bound(graph, made), made.quant.points, rows.validation, rows.kind)


def _within_latency(model: Model, those: Layers, wanted: Wanted, quantize: Quantize) -> Model:
    """The best assignment whose measured latency is within the budget."""
    cost, budget = wanted.cost, wanted.budget.latency_ms
    assert budget is not None
    if cost is None:
        raise RecipeError(
            given=f"latency_ms = {budget:g} where nothing measures latency",
            expected="a runtime that the net is measured in, as `galenic compress` does",
            todo="run it from a recipe, or give size_ratio or size_bytes",
        )
    whole = {
        bits: cost(model if bits >= HALF_BITS else quantize(those.rule.model_copy(update={"weight_bits": bits}))).value
        for bits in wanted.weight_bits
    }
    shares = work_shares(those.graph, model.spec.input_shape)
    options = those.options(lambda name, bits: shares[name] * whole[min(whole, key=lambda one: abs(one - bits))])
    limit, took = budget, 0.0
    for _ in range(ATTEMPTS):
        made = quantize(those.assigned(allocate(options, limit, "ms")))
        took = cost(made).value
        if took <= budget:
            return made
        limit *= CLOSER * budget / took
    raise RecipeError(
        given=f"latency_ms = {budget:g}; the last of {ATTEMPTS} assignments takes {took:.3g} ms here",
        expected="a latency that the net can have with these bits",
        todo="raise latency_ms, or make the net smaller first",
    )


def _with_sensitivities(spec: QuantSpec, graph: fx.GraphModule, measured: Sequence[LayerSensitivity]) -> QuantSpec:
    """The spec with what was measured, and how many layers got which bits."""
    sizes = weight_bytes(graph, spec.rule)
    bits = {name: spec.rule.bits_of(name)[0] for name in sizes}
    counts = ", ".join(
        f"{list(bits.values()).count(one)} with {'float weights' if one == FLOAT_BITS else f'{one} bits'}"
        for one in sorted(set(bits.values()), reverse=True)
    )
    share = sum(sizes.values()) / float_bytes(graph)
    note = f"layers {counts}: {sum(sizes.values()):,} bytes of weights, {share:.3f} of float32"
    chosen = tuple(one.model_copy(update={"chosen": bits[one.layer] == one.weight_bits}) for one in measured)
    return spec.model_copy(update={"sensitivities": chosen, "notes": (*spec.notes, note)})


def _layer_rule(name: str, bits: int) -> LayerRule:
    return LayerRule(layer=name, weight_bits=bits, activation_bits=bits if bits >= HALF_BITS else None)


class MixedPrecision(Record):
    """More bits for the layers that hurt, within a budget of size or latency; 8-bit activations.

    Attributes:
        budget: size_ratio, size_bytes or latency_ms.
        weight_bits: what a layer's weights may have: 2 to 8, or 32 for float.
        first, last: the precision of the first and the last layer; they are assigned like all others where None. The usual
            preset is first = "int8" (or "float16") and last = "float16" or "float32".
        observer: how activation ranges are found; measured on validation rows where None.
        per_channel: one weight scale per output channel.
        correct_bias: whether the means that rounding moves are corrected; measured where None.
        equalise: whether the weights of neighbouring layers are balanced first; measured where None.
        tune_ranges: whether all ranges are tuned together; where None measured, if much is lost without.
        keep: patterns of module paths that stay float.
        layers: bits for some layers, which are not assigned then.
    """

    name: ClassVar[str] = "mixed_precision"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE

    budget: Budget
    weight_bits: tuple[int, ...] = (8, 4)
    first: Precision | None = None
    last: Precision | None = None
    observer: Observer | None = None
    per_channel: bool = True
    correct_bias: bool | None = None
    equalise: bool | None = None
    tune_ranges: bool | None = None
    keep: tuple[str, ...] = ()
    layers: tuple[LayerRule, ...] = ()

    @field_validator("weight_bits")
    @classmethod
    def _several(cls, bits: tuple[int, ...]) -> tuple[int, ...]:
        known = {*range(2, 9), FLOAT_BITS}
        if len(set(bits)) < 2 or set(bits) - known or min(bits) == FLOAT_BITS:
            raise PydanticCustomError("weight_bits", "two different ones or more of 2, 3 ... 8 and 32 (float)")
        return tuple(sorted(set(bits), reverse=True))

    @property
    def rule(self) -> QuantRule:
        """All that the runtime may have to hold: a rule for every layer with each of the bits."""
        ends = [end.bits for end in (self.first, self.last) if end is not None]
        possible = tuple(_layer_rule("*", bits) for bits in dict.fromkeys((*self.weight_bits, *ends)))
        start = self._start
        return start.model_copy(update={"layers": (*possible, *start.layers)})

    @property
    def measures_cost(self) -> bool:
        """Whether what it makes depends on a latency measured here."""
        return self.budget.latency_ms is not None

    @property
    def _start(self) -> QuantRule:
        integer = max(bits for bits in self.weight_bits if bits < HALF_BITS)
        return QuantRule(
            weight_bits=integer,
            per_channel=self.per_channel,
            observer=self.observer,
            keep=self.keep,
            layers=self.layers,
        )

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a text net: static ranges of its activations are not supported."""
        refuse_text(model, "with static integers of several bits")

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The module with its weights on their grids and a QuantSpec with every point and every layer's sensitivity."""
        self.refuse_model(model)
        choices = Choices(self.observer, self.correct_bias, self.equalise, self.tune_ranges)
        wanted = Wanted(self.weight_bits, self.budget, self.first, self.last, choices, bench.cost)
        rule = calibrated_rule(self._start, bench.task)
        made = quantize_mixed(model, rule, task_rows(bench.task), wanted, bench.progress)
        return [replace(made, lineage=(*model.lineage, self.name))]
