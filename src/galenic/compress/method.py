"""The Method protocol, the bench that a method works on, and how several methods share one training.

    apply(model, bench) -> list[Model]         most methods yield one model, progressive distillation several
A phase is at most one training. A method that trains has no loop of its own: it contributes a transformed model, terms of
the loss or callbacks, and what is to be done when the training is over. Methods that share a phase contribute in
order: at most one transform (first), any number of terms (at most one says what the labels weigh), any callbacks.
Weights that were pruned before stay zero in every training (masks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

from torch import nn

from galenic.compress.masks import hold, masks_of
from galenic.record.errors import RecipeError
from galenic.record.measurement import Measurement
from galenic.record.progress import Progress, silent
from galenic.record.quant import QuantRule
from galenic.record.task import Task
from galenic.record.training import Rows, TrainingConfig
from galenic.training.augment import AUGMENTATIONS, Spread, Views
from galenic.training.callbacks import Callback
from galenic.training.loop import Surroundings, TrainingData, train
from galenic.training.objective import LabelTerm, Objective, Term, label_loss
from galenic.training.teacher_cache import Predict
from galenic.zoo.model import Model


@dataclass(frozen=True)
class Teacher:
    """A model or a file. Most methods know it by its predictions alone.

    Attributes:
        name: for people.
        sha256: of the weights or the file that answers.
        classes: the names of its outputs, in order.
        predict: preprocessed inputs (batch, *input_shape) float32 -> logits (batch, classes) float32.
        model: the torch model behind it, for methods that look at its layers; None for a file.
        score: its (macro) AUC on validation, for methods that weigh teachers; None where nobody asked.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    predict: Predict
    model: Model | None = None
    score: float | None = None


class TeacherNeed(StrEnum):
    """What a method needs of teachers; NONE is false."""

    NONE = ""
    ANSWERS = "one teacher's answers"
    LAYERS = "one teacher's layers"
    SEVERAL = "the answers of several teachers"


@dataclass(frozen=True)
class Bench:
    """What a method may need and not import; the pipeline fills it.

    Attributes:
        task: the data. A method reads train and calibration (and validation to choose), never test.
        seed: everything random follows from it.
        folder: this stage's own, for checkpoints and caches.
        training: how the phase's training is run, with precision and memory format resolved; None where none was given.
        teachers: the reference, or the teachers that the recipe names.
        cost: a model's cost as the recipe wants it: size, MACs, or latency measured in a runtime.
        progress: told how far the work is.
        answers: where teachers' cached answers lie, shared by all stages of a store; None keeps them in ``folder``.
        training_for: the training with precision and memory format resolved for another model than the phase's.
    """

    task: Task
    seed: int
    folder: Path
    training: TrainingConfig | None = None
    teachers: tuple[Teacher, ...] = ()
    cost: Callable[[Model], Measurement] | None = None
    progress: Progress = silent
    answers: Path | None = None
    training_for: Callable[[Model], TrainingConfig] | None = None


@runtime_checkable
class Method(Protocol):
    """A step of compression. It is a frozen, typed config with ``apply``.

    Attributes:
        name: as in recipes.
        version: raised whenever the method's results change; it enters the stage's hash.
        trains: whether it contributes to a training.
        needs_teacher: what it needs of teachers, if anything.
        rule: the quantization that it asks of the runtime (nothing that trains may follow it), or None.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    trains: ClassVar[bool]
    needs_teacher: ClassVar[TeacherNeed]

    @property
    def rule(self) -> QuantRule | None:
        """What the runtime has to hold; it is asked before any work starts."""

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """New models made from ``model``, which is left as it was."""


def unchanged(model: Model) -> Model:
    """The model itself."""
    return model


@dataclass(frozen=True)
class Contribution:
    """What one method brings to a phase's training.

    Attributes:
        model: the model to train, transformed or not.
        terms: what to minimise beside the label loss.
        label_weight: how much the label loss weighs; None leaves that to another method, or at 1.
        callbacks: called by the loop.
        views: how many views a row has; None for a new one every epoch.
        finish: what is done to the trained model (drop observers, bake scales ...).
    """

    model: Model
    terms: tuple[Term, ...] = ()
    label_weight: float | None = None
    callbacks: tuple[Callback, ...] = ()
    views: int | None = None
    finish: Callable[[Model], Model] = unchanged


@runtime_checkable
class TrainedMethod(Method, Protocol):
    """A method that contributes to a training."""

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """What this method brings; ``model`` may be changed in place, it is a copy."""


@runtime_checkable
class TaskBound(Method, Protocol):
    """A method that is not for every task. The plan asks it before any work starts."""

    def refuse(self, task: Task, rows: Rows) -> None:
        """Raise RecipeError where it cannot learn this task from these rows."""


@runtime_checkable
class ModelBound(Method, Protocol):
    """A method that is not for every net. It is asked about the untrained one, before any work starts."""

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError where it cannot work on this net."""


@runtime_checkable
class CostBound(Method, Protocol):
    """A method that may work to a cost which is measured outside of it (``Bench.cost``)."""

    @property
    def measures_cost(self) -> bool:
        """Whether it does: what it makes depends on where the cost is measured then."""


@runtime_checkable
class MeasuringMethod(Method, Protocol):
    """A method that also trains other models than the phase's, with choices to be measured for each of them."""

    def resolved(self, task: Task, training_for: Callable[[Model], TrainingConfig]) -> Method:
        """The same method with those choices filled in; the resolved recipe keeps them, so they are measured once."""


def train_together(methods: Sequence[TrainedMethod], model: Model, bench: Bench) -> Model:
    """One training with what every method contributes; without any term the labels are learned.

    Raises:
        RecipeError: no training config was given, two methods contradict each other, or labels are to be learned from
            rows that have none.
    """
    if bench.training is None:
        raise RecipeError(
            given=f"the phase {_names(methods)} without a training",
            expected="a training table (epochs, learning_rate ...) for a phase that trains",
            todo="add [phase.training] to the recipe, even an empty one takes the defaults",
        )
    together = contributed(methods, replace(model, module=deepcopy(model.module)), bench)
    objective, trained = Objective([*together.terms, *together.label_terms]), together.model
    callbacks = [callback for one in together.contributions for callback in one.callbacks]
    if model.sparsity is not None:
        callbacks.append(hold(masks_of(model.module, model.sparsity.parameters)))
    where = Surroundings(bench.seed, bench.folder, bench.progress, _names(methods))
    train(trained.module, objective, training_data(bench, together.views), bench.training, where, callbacks)
    for contribution in reversed(together.contributions):
        trained = contribution.finish(trained)
    return replace(trained, lineage=(*model.lineage, *(m.name for m in methods)))


@dataclass(frozen=True)
class Together:
    """What the methods of a phase bring, made to agree; ``label_terms`` is empty where the labels weigh nothing."""

    model: Model
    contributions: tuple[Contribution, ...]
    label_terms: tuple[Term, ...]
    views: int | None

    @property
    def terms(self) -> tuple[Term, ...]:
        """Of all methods, in order."""
        return tuple(term for one in self.contributions for term in one.terms)


def contributed(methods: Sequence[TrainedMethod], model: Model, bench: Bench) -> Together:
    """Every method's contribution to one training; ``model`` may be changed.

    Raises:
        RecipeError: two methods contradict each other, or labels are to be learned from rows that have none.
    """
    assert bench.training is not None  # train_together has refused it
    contributions: list[Contribution] = []
    for method in methods:
        if isinstance(method, TaskBound):
            method.refuse(bench.task, bench.training.rows)
        contributions.append(method.contribute(model, bench))
        model = contributions[-1].model
    views = _agreed("views", [one.views for one in contributions], methods)
    weight = _agreed("what the labels weigh", [one.label_weight for one in contributions], methods)
    label_terms = _label_terms(bench, bench.training, 1.0 if weight is None else weight)
    return Together(model, tuple(contributions), label_terms, views)


def training_data(bench: Bench, views: int | None) -> TrainingData:
    """The rows that the phase learns from, with their views: ``views`` of them cycled through, or a new one every epoch."""
    config, task = bench.training, bench.task
    assert config is not None  # train_together has refused it
    split = task.rows(config.rows)
    spread = Spread(config.rotation_degrees, config.zoom, config.shift, config.warp)
    modality = task.preprocessing.modality
    augment = config.augment and modality in AUGMENTATIONS  # a text has one view: the row itself
    drawn = Views(modality, len(split), bench.seed, views, augment, config.flips, spread)
    return TrainingData(split, task.preprocessing, task.kind, drawn)


def task_loss(task: Task, config: TrainingConfig) -> nn.Module:
    """The label loss of a task under this config, as a module of (logits, labels)."""
    return label_loss(task.kind, task.train.labels, task.outputs, config.class_weighting, config.label_smoothing)


def _label_terms(bench: Bench, config: TrainingConfig, weight: float) -> tuple[Term, ...]:
    if weight == 0:
        return ()
    if config.rows is not Rows.TRAIN:
        raise RecipeError(
            given=f"training.rows = {config.rows.value!r} with a label loss of weight {weight:g}",
            expected="no label loss on rows that have no labels",
            todo="set alpha = 1 in the options of the distillation, or training.rows = 'train'",
        )
    return (LabelTerm(task_loss(bench.task, config), weight),)


Agreed = TypeVar("Agreed", int, float)


def _agreed(what: str, said: Sequence[Agreed | None], methods: Sequence[TrainedMethod]) -> Agreed | None:
    """The one value that the methods of a phase gave, or None."""
    values = {value for value in said if value is not None}
    if len(values) > 1:
        raise RecipeError(
            given=f"{_names(methods)} in one phase, which disagree on {what}: {sorted(values)}",
            expected="one value for the one training that they share",
            todo="give them the same value, or put them into two phases, one after the other",
        )
    return values.pop() if values else None


def _names(methods: Sequence[Method]) -> str:
    return " + ".join(method.name for method in methods)
