"""The plan: everything in a recipe checked and typed before any work starts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from galenic.compress.method import CostBound, Method, TaskBound, TrainedMethod
from galenic.compress.methods import METHODS
from galenic.exporters.load import EXPORTERS, exporter_for
from galenic.gating.profiles import check_runtime, load_profile
from galenic.pipeline.footprint import has_board
from galenic.pipeline.model_checks import check_models
from galenic.pipeline.recipes import validated
from galenic.record.errors import RecipeError
from galenic.record.profile import Profile
from galenic.record.quant import Arithmetic
from galenic.record.recipe import FILE_PREFIX as FILE_PREFIX
from galenic.record.recipe import ModelRecipe, PhaseRecipe, Recipe
from galenic.record.task import Task, TaskKind
from galenic.record.training import Rows, TrainingConfig
from galenic.runtimes.load import require_runtime, runtime_named


@dataclass(frozen=True)
class Phase:
    """One phase with its methods' configs built."""

    methods: tuple[Method, ...]
    training: TrainingConfig | None

    @property
    def name(self) -> str:
        """The methods' names."""
        return " + ".join(method.name for method in self.methods)

    @property
    def quantizes(self) -> bool:
        """Whether it makes a model that a runtime is to compute in other numbers than float32."""
        return any(method.rule is not None for method in self.methods)


@dataclass(frozen=True)
class Plan:
    """A recipe that can be run."""

    recipe: Recipe
    phases: tuple[Phase, ...]
    profile: Profile | None


def make_plan(recipe: Recipe, *, ships: bool = True) -> Plan:
    """Check what can be checked without data.

    Args:
        recipe: the recipe.
        ships: whether its file is run and judged in its own runtime; where only its models are made, that runtime is needed
            where they need it.

    Raises:
        RecipeError: an unknown method or option, an impossible order, nothing for the gate to check, or a runtime that the
            profile's device does not have.
        MissingPackage: the runtime is not installed.
    """
    profile = load_profile(recipe.profile) if recipe.profile else None
    if profile is not None:
        check_runtime(profile, recipe.runtime)
    runtime_named(recipe.runtime)
    phases = tuple(_phase(phase, number) for number, phase in enumerate(recipe.phase, 1))
    _check_order(phases)
    check_models(recipe, [phase.methods for phase in phases])
    _check_rows(recipe, phases)
    if not recipe.gate.margins.declared() and not recipe.gate.floors.declared():
        raise RecipeError(
            given=f"the recipe {recipe.name} declares no margin and no floor",
            expected="at least one of gate.margins or gate.floors (auc, sensitivity, specificity, accuracy)",
            todo="decide how much may be lost before the run and write it into [gate.margins]",
        )
    if ships or runs_files(recipe, phases):
        _check_own_runtime(recipe.runtime, phases)
    if ships:
        has_board(recipe.runtime, profile)
    return Plan(recipe, phases, profile)


def runs_files(recipe: Recipe, phases: Sequence[Phase]) -> bool:
    """Whether making the models alone runs files in the recipe's runtime: of a teacher that answers, or to measure a latency."""
    methods = [method for phase in phases for method in phase.methods]
    nets = not all(one.is_file for one in recipe.teacher or (recipe.reference,))
    taught = nets and any(method.needs_teacher for method in methods)
    return taught or any(isinstance(method, CostBound) and method.measures_cost for method in methods)


def _check_own_runtime(runtime: str, phases: Sequence[Phase]) -> None:
    """The recipe's runtime and its converter are here, and it can hold what the phases make."""
    require_runtime(runtime)
    exporter = exporter_for(runtime)
    exporter.require()
    if exporter.float_runtime:
        require_runtime(exporter.float_runtime)
    for rule in (method.rule for phase in phases for method in phase.methods):
        if rule is not None:
            exporter.check_rule(rule)


def check_plan_against(task: Task, plan: Plan) -> None:
    """Check what needs the task: methods that are for it and endpoints that it has, before any training starts."""
    gate = plan.recipe.gate
    for phase in plan.phases:
        for method in phase.methods:
            if isinstance(method, TaskBound):
                method.refuse(task, phase.training.rows if phase.training else Rows.TRAIN)
    rules = {method.name: method.rule for phase in plan.phases for method in phase.methods if method.rule is not None}
    static = [name for name, rule in rules.items() if rule.arithmetic is Arithmetic.STATIC]
    if task.preprocessing.text is not None and static:
        raise RecipeError(
            given=f"{static[0]} on {task.name}, a text task",
            expected="integers whose ranges are found as texts come: static ones are not supported yet for text nets",
            todo=f"choose dynamic_int8, weight_int4 with rounding = 'nearest' or half_precision instead of {static[0]}",
        )
    if task.preprocessing.text is not None and not exporter_for(plan.recipe.runtime).text:
        raise RecipeError(
            given=f"{task.name}, a text task, for {plan.recipe.runtime}",
            expected=f"a runtime for text nets: {', '.join(one.runtime for one in EXPORTERS if one.text)}",
            todo="choose one of them as the recipe's runtime",
        )
    wanted = set(gate.margins.declared()) | set(gate.floors.declared())
    without = task.kind is TaskKind.MULTI_LABEL or not task.positive
    if without and wanted & {"sensitivity", "specificity"}:
        raise RecipeError(
            given=f"gate.margins or gate.floors name sensitivity or specificity, but {task.name} has no positive class",
            expected="endpoints that the task has: auc, accuracy",
            todo="name the positive classes in [task.options] (positive = [...]), or drop that endpoint",
        )


def method_named(name: str) -> type[Method]:
    """The method of that name; RecipeError with the nearest one where there is none."""
    for method in METHODS:
        if method.name == name:
            return method
    names = [method.name for method in METHODS]
    near = difflib.get_close_matches(name, names, n=1)
    raise RecipeError(
        given=f"the method '{name}'",
        expected=f"one of {', '.join(names)}",
        todo=f"did you mean '{near[0]}'?" if near else "`galenic methods` describes them",
    )


def _phase(recipe: PhaseRecipe, number: int) -> Phase:
    configs: list[Method] = []
    for name in recipe.methods:
        method = method_named(name)
        options = recipe.options.get(name, {})
        configs.append(validated(method, options, f"phase {number}, options.{name}"))  # type: ignore[type-var]
    twice = [name for name in recipe.methods if recipe.methods.count(name) > 1]
    if twice:
        raise RecipeError(
            given=f"phase {number} names {twice[0]} twice",
            expected="each method once: its loss would count twice, and there is one table for its options",
            todo="remove one, or raise its weight",
        )
    unused = set(recipe.options) - set(recipe.methods)
    if unused:
        raise RecipeError(
            given=f"phase {number} has options for {', '.join(sorted(unused))}",
            expected=f"options for its own methods only: {', '.join(recipe.methods)}",
            todo="rename or remove that table",
        )
    if len(configs) > 1 and not all(isinstance(config, TrainedMethod) for config in configs):
        raise RecipeError(
            given=f"phase {number} puts {' and '.join(recipe.methods)} together",
            expected="methods that share one training",
            todo="give each its own phase",
        )
    return Phase(tuple(configs), recipe.training)


def _check_order(phases: Sequence[Phase]) -> None:
    quantized_by: str | None = None
    for number, phase in enumerate(phases, 1):
        trains = any(method.trains for method in phase.methods)
        if quantized_by and trains:
            raise RecipeError(
                given=f"phase {number} ({phase.name}) trains after {quantized_by}",
                expected="training before quantization: an integer model has no gradients",
                todo=f"move {phase.name} in front of {quantized_by}",
            )
        if quantized_by and phase.quantizes:
            raise RecipeError(
                given=f"phase {number} ({phase.name}) quantizes what {quantized_by} has quantized",
                expected="one quantization",
                todo="remove one of the two",
            )
        if quantized_by and not phase.quantizes:
            raise RecipeError(
                given=f"phase {number} ({phase.name}) changes what {quantized_by} has quantized",
                expected="quantization last: the integers' grids were found for the weights that were there",
                todo=f"move {phase.name} in front of {quantized_by}; zeros that a pruning makes are held",
            )
        if trains and phase.training is None:
            raise RecipeError(
                given=f"phase {number} ({phase.name}) trains but has no training table",
                expected="[phase.training] with epochs, learning_rate ...",
                todo="add it; an empty one takes the defaults",
            )
        if phase.quantizes:
            quantized_by = phase.name


def _check_rows(recipe: Recipe, phases: Sequence[Phase]) -> None:
    """Rows without labels are named in [task], and nothing learns labels from them."""
    models = [("reference", recipe.reference), *([("student", recipe.student)] if recipe.student else [])]
    models += [(f"teacher {number}", teacher) for number, teacher in enumerate(recipe.teacher, 1)]
    weights = [(name, training, 1.0) for name, model in models for training in _trainings(model)]
    for number, phase in enumerate(phases, 1):
        weight = _label_weight(phase)
        trainings = [phase.training, *(one.training for m in phase.methods for one in getattr(m, "assistants", ()))]
        weights += [(f"phase {number} ({phase.name})", training, weight) for training in trainings]
    for name, training, weight in weights:
        if training is None or training.rows is Rows.TRAIN:
            continue
        if weight:
            raise RecipeError(
                given=f"{name} with training.rows = {training.rows.value!r} and labels of weight {weight:g}",
                expected="nothing that learns labels from rows that have none",
                todo="set alpha = 1 (or label_weight = 0) in the options of its distillation, or training.rows = 'train'",
            )
        if recipe.task.transfer is None:
            raise RecipeError(
                given=f"{name} with training.rows = {training.rows.value!r}, but [task] names no transfer rows",
                expected="rows without labels",
                todo='add transfer = "folder:PATH" or "npz:PATH" to [task]',
            )


def _trainings(model: ModelRecipe) -> Iterator[TrainingConfig | None]:
    """A model's own training, and those of its members."""
    yield model.training
    for member in model.members:
        yield from _trainings(member)


def _label_weight(phase: Phase) -> float:
    """The most that labels weigh in a phase, as far as its methods say so in their options; 1 where none does."""
    said = [float(m.label_weight) for m in phase.methods if hasattr(m, "label_weight")]
    said += [1.0 - float(m.alpha) for m in phase.methods if hasattr(m, "alpha")]
    return max(said, default=1.0)
