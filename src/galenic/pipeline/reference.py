"""The reference (and any model that a recipe names): built, given weights, trained; or a file that a runtime loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galenic.compress.method import Teacher
from galenic.compress.supervised import Supervised
from galenic.pipeline.file_stages import export_stage
from galenic.pipeline.plan import FILE_PREFIX
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import resolved_training, run_phase
from galenic.record.artifact import Artifact
from galenic.record.recipe import ModelRecipe
from galenic.record.training import TrainingConfig
from galenic.runtimes.load import artifact_of_file, open_session
from galenic.zoo.build import build
from galenic.zoo.model import Model
from galenic.zoo.weights import load_weights


@dataclass(frozen=True)
class Trusted:
    """The reference as a file, its torch model where it has one, and its training with measured choices filled in."""

    artifact: Artifact
    model: Model | None
    training: TrainingConfig | None
    notes: tuple[str, ...] = ()


def prepare_reference(setting: Setting, recipe: ModelRecipe, runtime: str) -> Trusted:
    """The reference of a recipe as a float file in ``runtime``."""
    if recipe.model.startswith(FILE_PREFIX):
        path = Path(recipe.model.removeprefix(FILE_PREFIX))
        artifact = artifact_of_file(path, setting.task.preprocessing, setting.task.classes)
        return Trusted(artifact, None, None)
    model, notes = build_model(setting, recipe)
    training = recipe.training
    if training is not None:
        training = resolved_training(setting, training, model)
        (model,) = run_phase(setting, [Supervised()], model, training)
    return Trusted(export_stage(setting, model, runtime), model, training, notes)


def build_model(setting: Setting, recipe: ModelRecipe) -> tuple[Model, tuple[str, ...]]:
    """A fresh model for the task with the weights that the recipe gives, and notes about keys that did not match."""
    task = setting.task
    model = build(recipe.model, task.preprocessing.input_shape, task.outputs, seed=setting.seed, options=recipe.options)
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


def as_teacher(setting: Setting, artifact: Artifact, name: str, model: Model | None = None) -> Teacher:
    """A file as a teacher, answered by its own runtime; ``model`` is what it was exported from, for a look at its layers."""
    session = open_session(artifact, threads=setting.threads)
    return Teacher(name, artifact.sha256, artifact.classes, session.run, model)
