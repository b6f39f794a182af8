"""The plan: everything in a recipe checked and typed before any work starts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from galenic.compress.method import Method
from galenic.compress.methods import METHODS
from galenic.exporters.load import exporter_for
from galenic.gating.profiles import load_profile
from galenic.pipeline.recipes import validated
from galenic.record.errors import RecipeError
from galenic.record.profile import Profile
from galenic.record.recipe import PhaseRecipe, Recipe
from galenic.record.task import Task, TaskKind
from galenic.record.training import TrainingConfig
from galenic.runtimes.load import require_runtime

FILE_PREFIX = "file:"


@dataclass(frozen=True)
class Phase:
    """One phase with its methods' configs built."""

    methods: tuple[Method, ...]
    training: TrainingConfig | None

    @property
    def name(self) -> str:
        """The methods' names."""
        return " + ".join(method.name for method in self.methods)


@dataclass(frozen=True)
class Plan:
    """A recipe that can be run."""

    recipe: Recipe
    phases: tuple[Phase, ...]
    profile: Profile | None


def make_plan(recipe: Recipe) -> Plan:
    """Check what can be checked without data.

    Raises:
        RecipeError: an unknown method or option, an impossible order, nothing for the gate to check.
        MissingPackage: the runtime is not installed.
    """
    require_runtime(recipe.runtime)
    phases = tuple(_phase(phase, number) for number, phase in enumerate(recipe.phase, 1))
    _check_order(phases)
    _check_models(recipe, phases)
    if not recipe.gate.margins.declared() and not recipe.gate.floors.declared():
        raise RecipeError(
            given=f"the recipe {recipe.name} declares no margin and no floor",
            expected="at least one of gate.margins or gate.floors (auc, sensitivity, specificity, accuracy)",
            todo="decide how much may be lost before the run and write it into [gate.margins]",
        )
    exporter = exporter_for(recipe.runtime)
    for rule in (method.rule for phase in phases for method in phase.methods):
        if rule is not None:
            exporter.check_rule(rule)
    return Plan(recipe, phases, load_profile(recipe.profile) if recipe.profile else None)


def check_plan_against(task: Task, plan: Plan) -> None:
    """Check what needs the task: endpoints that it has, before any training starts."""
    gate = plan.recipe.gate
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
    unused = set(recipe.options) - set(recipe.methods)
    if unused:
        raise RecipeError(
            given=f"phase {number} has options for {', '.join(sorted(unused))}",
            expected=f"options for its own methods only: {', '.join(recipe.methods)}",
            todo="rename or remove that table",
        )
    if len(configs) > 1 and not all(config.trains for config in configs):
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
        if quantized_by and any(method.rule for method in phase.methods):
            raise RecipeError(
                given=f"phase {number} ({phase.name}) quantizes what {quantized_by} has quantized",
                expected="one quantization",
                todo="remove one of the two",
            )
        if trains and phase.training is None:
            raise RecipeError(
                given=f"phase {number} ({phase.name}) trains but has no training table",
                expected="[phase.training] with epochs, learning_rate ...",
                todo="add it; an empty one takes the defaults",
            )
        if any(method.rule for method in phase.methods):
            quantized_by = phase.name


def _check_models(recipe: Recipe, phases: Sequence[Phase]) -> None:
    reference = recipe.reference
    is_file = reference.model.startswith(FILE_PREFIX)
    if is_file and (reference.training is not None or reference.weights is not None):
        raise RecipeError(
            given="a reference that is a file, with training or weights",
            expected="a file as it is",
            todo="remove reference.training and reference.weights",
        )
    if not is_file and reference.training is None and reference.weights is None:
        raise RecipeError(
            given=f"the reference {reference.model} with neither weights nor training",
            expected="reference.weights (a .safetensors or checkpoint file) or [reference.training]",
            todo="say where its weights come from: an untrained model is no reference",
        )
    if recipe.student is None and is_file:
        raise RecipeError(
            given="a reference that is a file, and no student",
            expected="a [student] that can be changed; a file cannot",
            todo='add [student] with model = "..." (`galenic models` lists them)',
        )
    if recipe.student is None and any(m.needs_teacher for phase in phases for m in phase.methods):
        raise RecipeError(
            given="a distillation without a student",
            expected="a [student] that learns from the reference",
            todo='add [student] with model = "..." (`galenic models` lists them)',
        )
    first = phases[0] if phases else None
    if recipe.student is not None and (first is None or not first.methods[0].trains) and not recipe.student.weights:
        raise RecipeError(
            given=f"the student {recipe.student.model} is never trained",
            expected="a first phase that trains it (soft_target, supervised), or student.weights",
            todo="add such a [[phase]] in front",
        )
