"""The verbs of ``import galenic as gx``: the pipeline's stages one at a time, for notebooks and scripts.

    task    = gx.load_task("medmnist:pneumoniamnist")
    teacher = gx.train(gx.build("resnet18", task), task)
    student = gx.distill(gx.build("mobilenet_v3_small", task), task, teacher, gx.methods.SoftTarget(temperature=4))
    slim    = gx.prune(student, task, gx.methods.ChannelPruning(ratio=0.4, keep=["classifier"]), teacher=teacher)
    int8    = gx.quantize(slim, task, gx.methods.StaticInt8())
    file    = gx.export(int8, "onnxruntime", "pneumonia.onnx")
    verdict = gx.gate(gx.predict(file, task), gx.predict(teacher, task), gx.Margins(auc=0.02, sensitivity=0.05))
Every verb keeps what it made in the default store (``GALENIC_STORE``, or ``runs``), so that it goes on after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Method, Teacher, TeacherNeed
from galenic.compress.quantize.row_checks import check_rows
from galenic.compress.quantize.static import PostTraining, Rows
from galenic.compress.quantize.static_int8 import StaticInt8
from galenic.compress.supervised import Supervised
from galenic.exporters.load import exporter_for
from galenic.gating.gate import judge
from galenic.pipeline.card import write_card
from galenic.pipeline.costs import LatencyCost
from galenic.pipeline.file_stages import Measured, export_stage, measure_stage, predict_stage
from galenic.pipeline.reference import as_teacher
from galenic.pipeline.setting import Setting, default_store
from galenic.pipeline.training_stages import resolved_methods, resolved_training, run_phase
from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, ModelError, RecipeError
from galenic.record.gate import Floors, GateResult, Margins
from galenic.record.model import ModelSpec
from galenic.record.predictions import Predictions
from galenic.record.progress import Progress, silent
from galenic.record.recipe import MeasureRecipe
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.store.ledger import Read
from galenic.tasks.load import load_task as load_task
from galenic.zoo.build import build as zoo_build
from galenic.zoo.build import fitted_options
from galenic.zoo.model import Model

RUNTIME = "onnxruntime"

Knowing = Model | Artifact
"""What can teach: a model, or any file that a runtime loads."""


def build(name: str, task: Task, *, seed: int = 0, options: Mapping[str, Any] | None = None) -> Model:
    """A fresh model for a task: its input shape and number of classes are the task's."""
    fitted = fitted_options(name, task.preprocessing, options or {})
    shape = task.preprocessing.input_shape
    return replace(zoo_build(name, shape, task.outputs, seed=seed, options=fitted), task=task)


def train(
    model: Model, task: Task, config: TrainingConfig | None = None, *, seed: int = 0, progress: Progress = silent
) -> Model:
    """Train a model on the task's labels."""
    return _phase(Supervised(), model, Setting(task, default_store(), seed, progress=progress), config)


def distill(
    student: Model,
    task: Task,
    teacher: Knowing | Sequence[Knowing],
    method: Method | None = None,
    config: TrainingConfig | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Model:
    """Train a student under a teacher, which may be a model or any file that a runtime loads, or under several of them.

    A method that makes other models on the way (``Progressive``) keeps them in the store; the student is returned.
    """
    setting = Setting(task, default_store(), seed, progress=progress)
    method = method or SoftTarget()
    given = teacher if isinstance(teacher, Sequence) else [teacher]
    scored = method.needs_teacher is TeacherNeed.SEVERAL
    return _phase(method, student, setting, config, *(_teacher(setting, one, scored) for one in given))


def prune(
    model: Model,
    task: Task,
    method: Method,
    *,
    teacher: Knowing | None = None,
    config: TrainingConfig | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Model:
    """Take weights or channels out of a model, and train what is left.

    Args:
        model: float; it is left as it was.
        task: what it is for.
        method: what goes. One that does not train (``ChannelPruning``, ``MagnitudePruning``, ``NOfM``) is followed by a training
            where there is a teacher or a config; without both, the model is returned as it was cut.
        teacher: whose softened outputs the rest learns from; the labels alone where None.
        config: of the training.
        seed: of everything random.
        progress: told how far it is.
    """
    setting = Setting(task, default_store(), seed, progress=progress)
    learning: list[Method] = [] if teacher is None else [SoftTarget()]
    teachers = [] if teacher is None else [_teacher(setting, teacher, scored=False)]
    if method.trains:
        return _phase_of([*learning, method], model, setting, config, *teachers)
    cut = _phase(method, model, setting, None)
    if teacher is None and config is None:
        return cut
    return _phase_of(learning or [Supervised()], cut, setting, config, *teachers)


def sparsify(
    model: Model,
    task: Task,
    method: Method,
    *,
    teacher: Knowing | None = None,
    config: TrainingConfig | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Model:
    """Train a model that is sparse from its first step (``RigL``, ``SET``, ``DST``), under a teacher where one is given."""
    return prune(model, task, method, teacher=teacher, config=config, seed=seed, progress=progress)


def quantize(
    model: Model | nn.Module,
    data: Task | Iterable[Tensor | np.ndarray],
    method: Method | None = None,
    *,
    validation: Iterable[Tensor | np.ndarray] | None = None,
    seed: int = 0,
) -> Model:
    """Find the grids of a model's integers; every runtime's exporter lowers the same ones.

    Args:
        model: a Model, or any module that torch.export traces.
        data: its task, or batches (batch, *input_shape) of preprocessed rows to calibrate on, without any task. They are kept.
        method: static INT8 where None.
        validation: batches that choices are measured on; those of ``data`` where None. Not for a task, which has its own.
        seed: of what a method draws.

    Raises:
        DataError: the rows are missing, not finite, or not like those of the task that the model was built for.
        ModelError: the module cannot be traced or is quantized already.
        RecipeError: the method needs a task.
    """
    chosen = method or StaticInt8()
    if isinstance(data, Task):
        if not isinstance(model, Model):
            raise ModelError(
                given=f"{type(model).__name__}, a plain module, with a task",
                expected="a model from gx.build(name, task), or batches instead of the task",
                todo="give batches of preprocessed rows: gx.quantize(module, batches)",
            )
        return _phase(chosen, model, Setting(data, default_store()), None)
    if not isinstance(chosen, PostTraining):
        raise RecipeError(
            given=f"{chosen.name} on batches alone",
            expected="a method that needs no labels and no teacher, such as StaticInt8",
            todo="give the task instead of the batches",
        )
    rows = [torch.as_tensor(batch) for batch in data]
    held = rows if validation is None else [torch.as_tensor(batch) for batch in validation]
    known = model if isinstance(model, Model) else as_model(model, rows)
    if known.task is not None:
        check_rows(rows, known.task)
    made = chosen.quantized(known, Rows(lambda: rows, lambda: held), seed)
    return replace(made, lineage=(*known.lineage, chosen.name))


def as_model(module: nn.Module, batches: Sequence[Tensor]) -> Model:
    """A plain module as a Model, its shapes taken from the first batch; it cannot be built again from its spec."""
    if not batches or len(batches[0]) == 0:
        raise DataError("no calibration rows", "batches of some hundred rows", "give rows that are like those in use")
    name = type(module).__name__
    module = deepcopy(module).eval()
    with torch.no_grad():
        answers = module(batches[0][:2])
    if not isinstance(answers, Tensor) or answers.dim() != 2:
        shape = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        raise ModelError(f"{name}, which answers {shape}", "logits of shape (batch, classes)", "wrap it")
    spec = ModelSpec(architecture=name, input_shape=tuple(batches[0].shape[1:]), outputs=answers.shape[1])
    return Model(module, spec, (name,))


def export(model: Model, runtime: str, path: str | Path) -> Artifact:
    """Write a model as a file of a runtime and, beside it, its card (FILE.json) with the task's preprocessing.

    Raises:
        ModelError: the model was not built for a task with ``gx.build``.
    """
    task = model.task
    if task is None:
        raise ModelError(
            given=f"a {model.spec.architecture} without a task",
            expected="a model from gx.build(name, task), which carries its task",
            todo="use dataclasses.replace(model, task=task)",
        )
    exporter = exporter_for(runtime)
    artifact = exporter.export(model, Path(path), preprocessing=task.preprocessing, classes=task.classes)
    artifact = artifact.model_copy(update={"kind": task.kind})
    write_card(artifact, artifact.path)
    return artifact


def predict(file: Artifact | Model, task: Task, split: str = "test") -> Predictions:
    """The predictions of a file (a model is exported first) on a split. A read of the test set enters the ledger."""
    setting = Setting(task, default_store())
    artifact = export_stage(setting, file, RUNTIME) if isinstance(file, Model) else file
    name = SplitName(split)
    if name is SplitName.TEST:
        split_hash = task.split_hashes[name.value]
        read = Read(
            split_hash=split_hash,
            purpose="predict",
            subject=artifact.sha256,
            margins=Margins(),
            floors=Floors(),
            alpha=0.025,
        )
        setting.ledger.enter(read)
    return predict_stage(setting, artifact, name)


def measure(file: Artifact, task: Task, config: MeasureRecipe | None = None) -> Measured:
    """Latency, its parts and peak memory of a file on this host."""
    return measure_stage(Setting(task, default_store()), file, config or MeasureRecipe())


def gate(
    artifact: Predictions, reference: Predictions, margins: Margins, floors: Floors | None = None, alpha: float = 0.025
) -> GateResult:
    """Is the artifact not worse than the reference by more than the margins? ``alpha`` is one-sided."""
    return judge(artifact, reference, margins, floors or Floors(), alpha=alpha)


def _phase(method: Method, model: Model, setting: Setting, config: TrainingConfig | None, *teachers: Teacher) -> Model:
    return _phase_of([method], model, setting, config, *teachers)


def _phase_of(
    methods: Sequence[Method], model: Model, setting: Setting, config: TrainingConfig | None, *teachers: Teacher
) -> Model:
    wanted = config or TrainingConfig()
    training = resolved_training(setting, wanted, model) if any(one.trains for one in methods) else None
    methods = resolved_methods(setting, methods, wanted)
    made = run_phase(setting, methods, model, training, teachers, LatencyCost(setting, RUNTIME))
    return replace(made[-1], task=setting.task)


def _teacher(setting: Setting, given: Knowing, scored: bool) -> Teacher:
    name = given.lineage[0]
    if isinstance(given, Artifact):
        return as_teacher(setting, given, name, scored=scored)
    return as_teacher(setting, export_stage(setting, given, RUNTIME), name, given, scored=scored)
