"""A rehearsal on untrained nets: what cannot work is found in seconds, and not when the teachers have been trained for hours.

Every net is built, every file that a recipe names is looked at, and the methods of every phase that trains say what they would
contribute: layers that are not there, shapes that cannot be matched, views or weights that contradict each other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from galenic.compress.method import (
    Bench,
    MeasuringMethod,
    ModelBound,
    Teacher,
    TrainedMethod,
    contributed,
)
from galenic.compress.quantize.weights import kept_layers
from galenic.pipeline.plan import Phase, Plan
from galenic.pipeline.reference import file_artifact, untrained
from galenic.pipeline.setting import Setting
from galenic.record.errors import ModelError
from galenic.record.recipe import ModelRecipe, Recipe
from galenic.zoo.graph import folded, traced
from galenic.zoo.model import Model

PASSABLE_AUC = 0.9
"""What a teacher that is not trained yet is taken to score."""


def rehearse(setting: Setting, plan: Plan) -> None:
    """Build, look and ask. Nothing is trained or kept.

    Raises:
        ModelError: a net or file is not there or does not fit, a layer is not there, a pattern of one that is to stay float or
            to have bits of its own matches none, or shapes cannot be matched.
        RecipeError: methods of one phase contradict each other, or an assistant cannot be what it is.
    """
    recipe = plan.recipe
    for one in all_models(recipe):
        _look_at_weights(one)
    taught_by = recipe.teacher or (recipe.reference,)
    teachers = tuple(_untaught(setting, one) for one in taught_by)
    reference = teachers[0] if not recipe.teacher else _untaught(setting, recipe.reference)
    student = reference.model if recipe.student is None else untrained(setting, recipe.student)
    if student is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        for phase in plan.phases:
            bench = Bench(setting.task, setting.seed, Path(folder), phase.training, teachers)
            _ask(phase, replace(student, module=deepcopy(student.module)), bench)


def all_models(recipe: Recipe) -> Iterator[ModelRecipe]:
    """Every model that a recipe names, ensembles' members too."""
    for one in (recipe.reference, *recipe.teacher, *([recipe.student] if recipe.student else [])):
        yield one
        yield from one.members


def _ask(phase: Phase, student: Model, bench: Bench) -> None:
    for method in phase.methods:
        if isinstance(method, ModelBound):
            method.refuse_model(student)
        if method.rule is not None and method.rule.patterns:
            kept_layers(traced(folded(student)[0]), method.rule)
    training = phase.training
    if training is None:
        return
    for method in phase.methods:
        if isinstance(method, MeasuringMethod):
            method.resolved(bench.task, lambda _: training)
    trained = [method for method in phase.methods if isinstance(method, TrainedMethod)]
    if trained:
        contributed(trained, student, bench)


def _untaught(setting: Setting, recipe: ModelRecipe) -> Teacher:
    """A teacher before its training: it has the layers, and answers nothing."""
    if recipe.is_file:
        artifact = file_artifact(setting, recipe)
        return Teacher(
            recipe.title, artifact.sha256, artifact.classes, predict=lambda inputs: inputs, score=PASSABLE_AUC
        )
    model, classes = untrained(setting, recipe), setting.task.classes
    return Teacher(recipe.title, "untrained", classes, lambda inputs: inputs, model, PASSABLE_AUC)


def _look_at_weights(recipe: ModelRecipe) -> None:
    if recipe.weights is not None and not Path(recipe.weights).is_file():
        raise ModelError(
            given=f"the weights {recipe.weights} of {recipe.model}, which are not there",
            expected="a .safetensors or checkpoint file",
            todo="check the path; nothing was done yet",
        )
