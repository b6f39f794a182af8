"""The Method protocol, the bench that a method works on, and how several methods share one training.

    apply(model, bench) -> list[Model]         most methods yield one model, progressive distillation several
A phase is at most one training. A method that trains has no loop of its own: it contributes a transformed model, an
objective or callbacks, and what is to be done when the training is over. Methods that share a phase contribute in
order: at most one transform (first), at most one objective, any number of callbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from torch import nn

from galenic.record.errors import RecipeError
from galenic.record.measurement import Measurement
from galenic.record.progress import Progress, silent
from galenic.record.quant import QuantRule
from galenic.record.task import Task
from galenic.record.training import TrainingConfig
from galenic.training.augment import Views
from galenic.training.callbacks import Callback
from galenic.training.loop import Surroundings, TrainingData, train
from galenic.training.objective import HardLabels, Objective, label_loss
from galenic.training.teacher_cache import Predict
from galenic.zoo.model import Model


@dataclass(frozen=True)
class Teacher:
    """A model or a file, known by its predictions alone.

    Attributes:
        name: for people.
        sha256: of the weights or the file that answers.
        classes: the names of its outputs, in order.
        predict: preprocessed inputs (batch, *input_shape) float32 -> logits (batch, classes) float32.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    predict: Predict


@dataclass(frozen=True)
class Bench:
    """What a method may need and not import; the pipeline fills it.

    Attributes:
        task: the data. A method reads train and calibration (and validation to choose), never test.
        seed: everything random follows from it.
        folder: this stage's own, for checkpoints and caches.
        training: how the phase's training is run, with precision and memory format resolved; None where none was given.
        teacher: the reference's or teacher's predictions, or None.
        cost: a model's cost as the recipe wants it: size, MACs, or latency measured in a runtime.
        progress: told how far the work is.
    """

    task: Task
    seed: int
    folder: Path
    training: TrainingConfig | None = None
    teacher: Teacher | None = None
    cost: Callable[[Model], Measurement] | None = None
    progress: Progress = silent


@runtime_checkable
class Method(Protocol):
    """A step of compression. It is a frozen, typed config with ``apply``.

    Attributes:
        name: as in recipes.
        version: raised whenever the method's results change; it enters the stage's hash.
        trains: whether it contributes to a training.
        needs_teacher: whether it cannot work without one.
        rule: the quantization that it asks of the runtime (nothing that trains may follow it), or None.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    trains: ClassVar[bool]
    needs_teacher: ClassVar[bool]

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
        objective: what to minimise instead of the label loss.
        callbacks: called by the loop.
        views: how many views a row has; None for a new one every epoch.
        finish: what is done to the trained model (drop observers, bake scales ...).
    """

    model: Model
    objective: Objective | None = None
    callbacks: tuple[Callback, ...] = ()
    views: int | None = None
    finish: Callable[[Model], Model] = unchanged


@runtime_checkable
class TrainedMethod(Method, Protocol):
    """A method that contributes to a training."""

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """What this method brings; ``model`` may be changed in place, it is a copy."""


def train_together(methods: Sequence[TrainedMethod], model: Model, bench: Bench) -> Model:
    """One training with what every method contributes; without an objective the labels are learned.

    Raises:
        RecipeError: no training config was given, or two methods bring an objective or a number of views.
    """
    if bench.training is None:
        raise RecipeError(
            given=f"the phase {' + '.join(m.name for m in methods)} without a training",
            expected="a training table (epochs, learning_rate ...) for a phase that trains",
            todo="add [phase.training] to the recipe, even an empty one takes the defaults",
        )
    original, model = model, replace(model, module=deepcopy(model.module))
    contributions: list[Contribution] = []
    for method in methods:
        contributions.append(method.contribute(model, bench))
        model = contributions[-1].model
    objectives = [c.objective for c in contributions if c.objective is not None]
    views = {c.views for c in contributions if c.views is not None}
    if len(objectives) > 1 or len(views) > 1:
        raise RecipeError(
            given=f"{' + '.join(m.name for m in methods)} in one phase",
            expected="at most one method that brings an objective (a loss)",
            todo="put them into two phases, one after the other",
        )
    data = training_data(bench.task, bench.training, bench.seed, views.pop() if views else None)
    objective = objectives[0] if objectives else HardLabels(task_loss(bench.task, bench.training))
    callbacks = [callback for c in contributions for callback in c.callbacks]
    where = Surroundings(bench.seed, bench.folder, bench.progress, " + ".join(m.name for m in methods))
    train(model.module, objective, data, bench.training, where, callbacks)
    for contribution in reversed(contributions):
        model = contribution.finish(model)
    return replace(model, lineage=(*original.lineage, *(m.name for m in methods)))


def training_data(task: Task, config: TrainingConfig, seed: int, views: int | None) -> TrainingData:
    """The training split with its views: ``views`` of them cycled through, or a new one every epoch."""
    split = task.train
    modality = task.preprocessing.modality
    return TrainingData(
        split, task.preprocessing, task.kind, Views(modality, len(split), seed, views, config.augment, config.flips)
    )


def task_loss(task: Task, config: TrainingConfig) -> nn.Module:
    """The label loss of a task under this config, as a module of (logits, labels)."""
    return label_loss(task.kind, task.train.labels, task.outputs, config.class_weighting, config.label_smoothing)
