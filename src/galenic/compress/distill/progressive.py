"""Teacher assistants (Mirzadeh et al., AAAI 2020, arXiv:1902.03393): a wide gap in size is crossed in steps.

    teacher -> assistant 1 -> assistant 2 ... -> student
Each learns the softened outputs of the one before it (``soft_target.py`` has the loss), and all of them are results, so that
one run yields a family of sizes. Every inner training has a folder and a checkpoint of its own: a run that is killed goes on
in the assistant that it was at, and those that were finished are not trained again.

    BENCH.folder/assistant_1-HASH/    training.safetensors while it is trained, weights.safetensors and model.json once it is
    BENCH.folder/                     the student's own checkpoint
HASH is of all that the assistant depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator

from galenic.compress.distill.answers import sole_teacher
from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench, Teacher, TeacherNeed, train_together
from galenic.record.base import Record, content_hash
from galenic.record.errors import RecipeError
from galenic.record.progress import Progress
from galenic.record.task import Task
from galenic.record.training import MemoryFormat, Precision, TrainingConfig
from galenic.zoo.build import build, find_architecture, fitted_options
from galenic.zoo.model import Model, parameters, weights_hash
from galenic.zoo.saving import SPEC_FILE, load_model, save_model

TrainingFor = Callable[[Model], TrainingConfig]
"""The phase's training for a model, with precision and memory format measured."""


class Assistant(Record):
    """A net between teacher and student; ``training`` is the phase's where it is None."""

    model: str
    options: Mapping[str, Any] = {}
    training: TrainingConfig | None = None

    @field_validator("model")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return find_architecture(name).name

    def built(self, task: Task, seed: int) -> Model:
        """A fresh one for the task."""
        options = fitted_options(self.model, task.preprocessing, self.options)
        return build(self.model, task.preprocessing.input_shape, task.outputs, seed=seed, options=options)


def settled(own: TrainingConfig | None, model: Model, training_for: TrainingFor) -> TrainingConfig:
    """An assistant's own training (or the phase's) in which nothing is ``auto`` that could be measured."""
    if own is None:
        return training_for(model)
    if own.precision is not Precision.AUTO and own.memory_format is not MemoryFormat.AUTO:
        return own
    found = training_for(model)
    precision = found.precision if own.precision is Precision.AUTO else own.precision
    memory_format = found.memory_format if own.memory_format is MemoryFormat.AUTO else own.memory_format
    return own.model_copy(update={"precision": precision, "memory_format": memory_format})


def torch_teacher(model: Model, name: str, task: Task) -> Teacher:
    """A trained torch model as a teacher; it answers in float32, whatever the precision of the training that asks."""

    def predict(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            logits: np.ndarray = model.module(torch.from_numpy(inputs)).numpy()
        return logits

    sha256 = content_hash([model.spec.model_dump(mode="json"), weights_hash(model)])
    return Teacher(name, sha256, task.classes, predict, model)


class Progressive(Record):
    """Distil through assistants of falling size; each of them is a result, before the student.

    Attributes:
        assistants: from the largest to the smallest: model, options and training (the phase's where none is given).
        soft_target: how each learns from the one before.
    """

    name: ClassVar[str] = "progressive"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.ANSWERS
    rule: ClassVar[None] = None

    assistants: tuple[Assistant, ...] = Field(min_length=1)
    soft_target: SoftTarget = SoftTarget()

    @property
    def alpha(self) -> float:
        """The weight of the teacher in every training."""
        return self.soft_target.alpha

    def resolved(self, task: Task, training_for: TrainingFor) -> Progressive:
        """The same with every assistant's training filled in, so that it can be run again without measuring.

        Raises:
            RecipeError: an assistant is larger than the one before it.
        """
        trainings, before = list[TrainingConfig](), None
        for number, assistant in enumerate(self.assistants, 1):
            model = assistant.built(task, seed=0)
            size = parameters(model)
            if before is not None and size > before:
                raise RecipeError(
                    given=f"assistant {number} ({assistant.model}) has {size:,} parameters, the one before it {before:,}",
                    expected="assistants from the largest to the smallest",
                    todo="change their order",
                )
            before = size
            trainings.append(settled(assistant.training, model, training_for))
        return self.model_copy(
            update={
                "assistants": tuple(
                    assistant.model_copy(update={"training": training})
                    for assistant, training in zip(self.assistants, trainings, strict=True)
                )
            }
        )

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The assistants in order, then the student."""
        teacher, made = sole_teacher(bench), list[Model]()
        for number, assistant in enumerate(self._ready(bench).assistants, 1):
            name = f"assistant {number} of {len(self.assistants)} ({assistant.model})"
            made.append(self._assistant(number, assistant, replace(bench, teachers=(teacher,)), name))
            teacher = torch_teacher(made[-1], name, bench.task)
        last = replace(bench, teachers=(teacher,), progress=_about("student", bench.progress))
        student = train_together([self.soft_target], model, last)
        return [*made, replace(student, lineage=(*model.lineage, self.name))]

    def _ready(self, bench: Bench) -> Progressive:
        training = bench.training
        if training is None:
            raise RecipeError(
                given="the phase progressive without a training",
                expected="a training table (epochs, learning_rate ...) for a phase that trains",
                todo="add [phase.training] to the recipe, even an empty one takes the defaults",
            )
        return self.resolved(bench.task, bench.training_for or (lambda _: training))

    def _assistant(self, number: int, assistant: Assistant, bench: Bench, name: str) -> Model:
        """The trained assistant, from its folder where it was finished before."""
        (teacher,), lineage = bench.teachers, (assistant.model, f"assistant_{number}")
        inputs = [assistant, self.soft_target, teacher.sha256, bench.task.content_hash, bench.seed]
        digest = content_hash([one.model_dump(mode="json") if isinstance(one, Record) else one for one in inputs])
        folder = bench.folder / f"{lineage[-1]}-{digest[:8]}"
        if (folder / SPEC_FILE).exists():  # it is written last
            return load_model(folder)
        inner = replace(
            bench,
            folder=folder,
            answers=bench.answers or bench.folder,
            training=assistant.training,
            progress=_about(name, bench.progress),
        )
        trained = train_together([self.soft_target], assistant.built(bench.task, bench.seed), inner)
        save_model(replace(trained, lineage=lineage), folder)
        (folder / "training.safetensors").unlink(missing_ok=True)
        return load_model(folder)


def _about(who: str, progress: Progress) -> Progress:
    """The same sink, told which of the trainings it is about."""

    def told(work: str, done: int, total: int, note: str = "") -> None:
        progress(f"{who}: {work}", done, total, note)

    return told
