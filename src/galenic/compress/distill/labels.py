"""What the distilling methods share that look at labels or at one softmax over the classes: refusals of what they are not for."""

from __future__ import annotations

from galenic.record.errors import RecipeError
from galenic.record.task import Task, TaskKind
from galenic.record.training import Rows


def refuse_several_labels(task: Task, method: str) -> None:
    """Raise RecipeError for a multi-label task."""
    if task.kind is TaskKind.MULTI_LABEL:
        raise RecipeError(
            given=f"{method} on {task.name}, a multi-label task",
            expected="a task with one class a case: its formula is about one softmax over the classes",
            todo="use 'soft_target', which has a form for several labels",
        )


def refuse_two_classes(task: Task, method: str, why: str) -> None:
    """Raise RecipeError where a task has fewer than three classes."""
    if task.outputs < 3:
        raise RecipeError(
            given=f"{method} on {task.name}, which has {task.outputs} classes",
            expected=f"three classes or more: with two, {why}",
            todo="use 'soft_target'",
        )


def refuse_rows_without_labels(task: Task, rows: Rows, method: str) -> None:
    """Raise RecipeError where rows are learned from that have no label."""
    given = ""
    if rows is not Rows.TRAIN:
        given = f"{method} with training.rows = {rows.value!r}"
    elif (unlabelled := int((task.train.labels < 0).sum())) > 0:
        given = f"{method} on {task.name}, where {unlabelled} of {len(task.train)} training rows have no label"
    if given:
        raise RecipeError(
            given=given,
            expected="a label for every row: the loss depends on which class is right",
            todo="set training.rows = 'train', or learn from unlabelled rows with 'soft_target' and alpha = 1",
        )
