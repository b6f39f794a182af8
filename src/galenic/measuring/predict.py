"""Predictions of one file on one split of a task."""

from __future__ import annotations

import numpy as np

from galenic.record.errors import ModelError
from galenic.record.predictions import Predictions
from galenic.record.progress import Progress, silent
from galenic.record.session import Session
from galenic.record.task import SplitName, Task
from galenic.runtimes.answer import BATCH_ROWS, run_raw


def predict(
    session: Session, task: Task, split: SplitName, *, batch_rows: int = BATCH_ROWS, progress: Progress = silent
) -> Predictions:
    """What the file of ``session`` says about every case of ``split``.

    Raises:
        ModelError: the file is for other classes or another preprocessing, or a logit is NaN or infinite.
        DataError: a row cannot be preprocessed.
    """
    _check_same_task(session, task)
    rows = task.splits[split]
    work = f"predicting {split.value}"
    logits = run_raw(session, rows.inputs, batch_rows, lambda done: progress(work, done, len(rows)))
    _check_finite(session, logits, rows.ids, split)
    return Predictions(
        ids=rows.ids,
        labels=rows.labels,
        logits=logits,
        split=split,
        split_hash=task.split_hashes[split.value],
        kind=task.kind,
        classes=task.classes,
        positive=task.positive,
        made_by=session.artifact.sha256,
        groups=rows.groups,
        clusters=rows.clusters,
    )


def _check_same_task(session: Session, task: Task) -> None:
    artifact = session.artifact
    if artifact.classes != task.classes:
        raise ModelError(
            given=f"{artifact.path} answers {len(artifact.classes)} classes ({', '.join(artifact.classes)})",
            expected=f"the {len(task.classes)} classes of {task.name} ({', '.join(task.classes)}), in that order",
            todo="use a file that was made for this task",
        )
    if artifact.preprocessing != task.preprocessing:
        raise ModelError(
            given=f"{artifact.path} was made for inputs preprocessed as {artifact.preprocessing.digest()[:12]}",
            expected=f"the preprocessing of {task.name}, {task.preprocessing.digest()[:12]}",
            todo="use a file that was made for this task at this size",
        )


def _check_finite(session: Session, logits: np.ndarray, ids: np.ndarray, split: SplitName) -> None:
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise ModelError(
            given=f"{session.artifact.path} answered {logits[row].tolist()} for case {ids[row]} (row {row} of the "
            f"{split.value} split; {int((~finite).sum())} such rows)",
            expected="finite logits for every case",
            todo="train it again with a lower learning rate, or look at that case; nothing was written",
        )
