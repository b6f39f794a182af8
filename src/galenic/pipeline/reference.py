"""The reference (and any model that a recipe names): built, given weights, trained; or a file that a runtime loads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from galenic.compress.distill.answers import refuse_other_classes
from galenic.compress.method import Teacher
from galenic.compress.supervised import Supervised
from galenic.gating.metrics import metrics
from galenic.pipeline.card import read_card
from galenic.pipeline.file_stages import export_stage, predict_stage
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import resolved_training, run_phase
from galenic.record.artifact import Artifact
from galenic.record.recipe import FILE_PREFIX, ModelRecipe, Recipe
from galenic.record.task import SplitName
from galenic.runtimes.load import artifact_of_file, open_session
from galenic.zoo.build import build, fitted_options
from galenic.zoo.ensemble import ensemble
from galenic.zoo.model import Model
from galenic.zoo.weights import load_weights


@dataclass(frozen=True)
class Trusted:
    """A model of the recipe (the reference, a teacher) as a file, and its torch model where it has one.

    ``recipe`` is its own part of the recipe, with measured choices filled in.
    """

    artifact: Artifact
    model: Model | None
    recipe: ModelRecipe
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """A torch model as the recipe wants it, with its part of the recipe resolved, and notes about its weights."""

    model: Model
    recipe: ModelRecipe
    notes: tuple[str, ...] = ()


def prepare_reference(setting: Setting, recipe: ModelRecipe, runtime: str) -> Trusted:
    """The reference of a recipe (or a teacher) as a float file in ``runtime``."""
    if recipe.is_file:
        return Trusted(file_artifact(setting, recipe), None, recipe)
    made = make_model(setting, recipe)
    return Trusted(export_stage(setting, made.model, runtime), made.model, made.recipe, made.notes)


def file_artifact(setting: Setting, recipe: ModelRecipe) -> Artifact:
    """The file that a recipe names, if it is for the task; its card, where one lies beside it, knows the order of classes."""
    path = Path(recipe.model.removeprefix(FILE_PREFIX))
    artifact = artifact_of_file(path, setting.task.preprocessing, setting.task.classes)
    card = read_card(path)
    if card is not None and card.sha256 == artifact.sha256:
        refuse_other_classes(recipe.title, card.classes, setting.task)
    return artifact


def prepare_teachers(setting: Setting, recipe: Recipe) -> tuple[Trusted, ...]:
    """The recipe's [[teacher]] tables in order. Each net has a seed of its own, so that equal tables give different nets."""
    nets_before = accumulate((one.nets for one in recipe.teacher), initial=0)
    return tuple(
        prepare_reference(_reseeded(setting, before), one, recipe.runtime)
        for one, before in zip(recipe.teacher, nets_before, strict=False)
    )


def make_model(setting: Setting, recipe: ModelRecipe) -> Made:
    """A model that is built, given weights and trained, as far as the recipe says so; an ensemble of such models."""
    if recipe.members:
        return _make_ensemble(setting, recipe)
    model, notes = build_model(setting, recipe)
    training = recipe.training
    if training is not None:
        training = resolved_training(setting, training, model)
        (model,) = run_phase(setting, [Supervised()], model, training)
    return Made(model, recipe.model_copy(update={"training": training}), notes)


def _make_ensemble(setting: Setting, recipe: ModelRecipe) -> Made:
    members, seed = list[Made](), 0
    for member in recipe.trained_members:
        members.append(make_model(_reseeded(setting, seed), member))
        seed += member.nets
    return Made(
        ensemble([one.model for one in members], setting.task.kind),
        recipe.model_copy(update={"members": tuple(one.recipe for one in members), "training": None}),
        tuple(note for one in members for note in one.notes),
    )


def _reseeded(setting: Setting, number: int) -> Setting:
    return replace(setting, seed=setting.seed + number)


def build_model(setting: Setting, recipe: ModelRecipe) -> tuple[Model, tuple[str, ...]]:
    """A fresh model for the task with the weights that the recipe gives, and notes about keys that did not match."""
    task = setting.task
    options = fitted_options(recipe.model, task.preprocessing, recipe.options)
    model = build(recipe.model, task.preprocessing.input_shape, task.outputs, seed=setting.seed, options=options)
    if recipe.weights is None:
        return model, ()
    report = load_weights(model, Path(recipe.weights))
    unmatched = {"missing": report.missing, "unexpected": report.unexpected, "mismatched": report.mismatched}
    notes = tuple(
        f"{recipe.weights} into {recipe.model}: {len(keys)} {word} ({', '.join(map(str, list(keys)[:5]))})"
        for word, keys in unmatched.items()
        if keys
    )
    return model, notes


def untrained(setting: Setting, recipe: ModelRecipe) -> Model:
    """The same net without its weights, for a look at its layers and shapes, which do not depend on them."""
    if recipe.members:
        return ensemble([untrained(setting, member) for member in recipe.members], setting.task.kind)
    return build_model(setting, recipe.model_copy(update={"weights": None}))[0]


def as_teacher(
    setting: Setting, artifact: Artifact, name: str, model: Model | None = None, *, scored: bool = False
) -> Teacher:
    """A file as a teacher, answered by its own runtime.

    Args:
        setting: the run.
        artifact: the file.
        name: for people.
        model: what it was exported from, for a look at its layers.
        scored: whether its AUC on validation is wanted.
    """
    session = open_session(artifact, threads=setting.threads)
    score = metrics(predict_stage(setting, artifact, SplitName.VALIDATION))["auc"].value if scored else None
    return Teacher(name, artifact.sha256, artifact.classes, session.run, model, score)
