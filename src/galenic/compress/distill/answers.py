"""What the distilling methods share: the right teacher, and its answers from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from galenic.compress.method import Bench, Teacher, training_data
from galenic.record.base import content_hash
from galenic.record.errors import ModelError
from galenic.record.task import Task
from galenic.training import augment
from galenic.training.teacher_cache import CacheKey, Predict, TeacherCache
from galenic.zoo.model import Model

LIBRARIES = ("torch", "onnxruntime")
"""Those whose arithmetic the answers are."""


def sole_teacher(bench: Bench) -> Teacher:
    """The bench's one teacher, if it answers for the task's classes.

    Raises:
        ModelError: there is none, there are several, or it has other classes.
    """
    if len(bench.teachers) != 1:
        names = ", ".join(teacher.name for teacher in bench.teachers)
        raise ModelError(
            given=f"a distillation with {len(bench.teachers)} teachers ({names})"
            if names
            else "a distillation without a teacher",
            expected="one teacher (the recipe's reference, or the teacher argument)",
            todo="use the method 'multi_teacher', or make them one ensemble"
            if names
            else "give one, or use 'supervised'",
        )
    refuse_other_classes(bench.teachers[0].name, bench.teachers[0].classes, bench.task)
    return bench.teachers[0]


def teacher_model(teacher: Teacher) -> Model:
    """The torch model behind a teacher, for methods that look at its layers; ModelError for a file."""
    if teacher.model is None:
        raise ModelError(
            given=f"the teacher {teacher.name}, which is a file",
            expected="a torch model, whose layers can be looked at",
            todo="name an architecture and its weights, or use a method that needs answers only (soft_target, dkd)",
        )
    return teacher.model


def refuse_other_classes(name: str, classes: tuple[str, ...], task: Task) -> None:
    """Raise ModelError where a teacher's classes are not the task's, in the task's order."""
    if classes == task.classes:
        return
    reordered = sorted(classes) == sorted(task.classes)
    raise ModelError(
        given=f"the teacher {name} has {len(classes)} classes ({', '.join(classes)})",
        expected=f"{task.outputs}, as the task {task.name} ({', '.join(task.classes)})"
        + (", in that order" if reordered else ""),
        todo="reorder its outputs first"
        if reordered
        else "take a teacher that was trained for this task, or map its outputs first",
    )


def logit_cache(bench: Bench, teacher: Teacher, views: int) -> TeacherCache:
    """The teacher's logits, (batch, classes), for ``views`` views of every row that the phase learns from."""
    return answer_cache(bench, teacher, views, "logits", (bench.task.outputs,), teacher.predict)


def answer_cache(
    bench: Bench,
    teacher: Teacher,
    views: int,
    answers: str,
    shape: Sequence[int],
    predict: Predict,
    device: str = "cpu",
) -> TeacherCache:
    """Whatever else a teacher says about an input: ``predict`` gives (batch, *shape), ``answers`` names it in the key.

    ``device`` is the kind of device that it runs on.
    """
    data = training_data(bench, views)
    drawn = data.views
    if not drawn.augment:
        views = 1
    key = CacheKey(
        teacher=teacher.sha256,
        answers=answers,
        data=content_hash([bench.task.content_hash, bench.training.rows.value if bench.training else ""]),
        views=content_hash(
            [drawn.seed, drawn.augment, drawn.flips.value, *vars(drawn.spread).values(), augment.VERSION]
        ),
        made_by=" ".join([device, *(f"{name} {version(name)}" for name in LIBRARIES)]),
        shape=(views, len(data.split), *shape),
    )
    return TeacherCache(bench.answers or bench.folder, key, data, predict, bench.progress)
