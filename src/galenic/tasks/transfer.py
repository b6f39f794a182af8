"""Transfer rows: rows without labels that a student learns from a teacher's answers alone.

    npz:PATH        one array, images (n, height, width[, channel]) or inputs (n, *raw_shape), and ids (n,) where it is there
    folder:PATH     PNG, JPEG and DICOM files of any size, in folders of any depth (their names say nothing)

They become rows of a task that is there already: its shape, its number type. Files become rows as the task's own did (crop,
resizing, frames, and whether a patient may be told from the pixels); where nobody says how, as ``folder:PATH`` does. Labels are -1,
ids begin with ``transfer/``. A row that stands in validation or test too is no transfer row: the teacher's answer to it would be
learned and then judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from galenic.preprocess.image import SUFFIXES, resize
from galenic.preprocess.picture import picture_rows
from galenic.preprocess.transform import check_raw
from galenic.record.errors import DataError, InputError
from galenic.record.preprocessing import Frames, Modality, Picture
from galenic.record.task import Split, SplitName, Task, TaskKind
from galenic.tasks.checks import Npz, check_rows
from galenic.tasks.dicom import DicomOptions
from galenic.tasks.folder import FolderOptions
from galenic.tasks.npz import read_images
from galenic.tasks.overlap import OverlapRule, row_keys
from galenic.tasks.source import SourceOptions

ARRAYS = ("images", "inputs")
PREFIX = "transfer/"
JUDGES = (SplitName.VALIDATION, SplitName.TEST)
Rows = tuple[np.ndarray, np.ndarray]
"""(n, *raw_shape) and their ids, (n,) str."""


def with_transfer(task: Task, source: str, rule: OverlapRule, options: SourceOptions) -> Task:
    """The task with the rows of ``source`` beside its splits; ``options`` are those that the task was loaded with.

    Raises:
        InputError: ``source`` is neither of the two forms, or not one that fits the task.
        DataError: a file or a row cannot be used, or rows stand in validation or test too and the rule is to refuse that.
    """
    form, _, argument = source.partition(":")
    if form not in _READERS or not argument:
        raise InputError(
            f"transfer = {source!r}",
            "npz:PATH (one array, images or inputs) or folder:PATH (PNG, JPEG or DICOM files of any size)",
            "write where the rows without labels are",
        )
    path = Path(argument).expanduser()
    inputs, ids = _READERS[form](path, task, options)
    _check(path, task, inputs, ids)
    shape = (len(inputs), task.outputs) if task.kind is TaskKind.MULTI_LABEL else (len(inputs),)
    rows = Split(inputs, np.full(shape, -1), np.char.add(PREFIX, ids))
    judged = _judged(path, task, rows, rule)
    count = int(judged.sum())
    overlap = task.overlap.model_copy(update={"transfer": count, "dropped": task.overlap.dropped + count})
    return replace(task, transfer=rows.take(~judged) if count else rows, overlap=overlap)


def _from_npz(path: Path, task: Task, _: SourceOptions) -> Rows:
    file = Npz(path)
    named = [name for name in ARRAYS if name in file]
    if len(named) != 1:
        raise DataError(
            f"{path}: a transfer set with {', '.join(file.keys) or 'no arrays'}",
            "one array of rows, named images or inputs",
            "rename or remove arrays",
        )
    inputs = file.read(named[0])
    check_rows(str(path), "transfer", {named[0]: inputs})
    ids = file.read("ids").astype(str) if "ids" in file else np.array([f"{row:06d}" for row in range(len(inputs))])
    check_rows(str(path), "transfer", {named[0]: inputs, "ids": ids})
    if task.preprocessing.modality is Modality.IMAGE:
        inputs = read_images(str(path), "transfer", inputs)
        if inputs.dtype == np.uint8 and inputs.shape[1:] != task.preprocessing.raw_shape:
            inputs = _resized(path, task, inputs)
    return inputs, ids


def _from_folder(path: Path, task: Task, options: SourceOptions) -> Rows:
    if task.preprocessing.modality is not Modality.IMAGE:
        raise InputError(
            f"transfer = 'folder:{path}' for {task.name}, whose rows are no images",
            "npz:PATH with an array inputs",
            "save the rows as one array",
        )
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else []
    if not files:
        raise DataError(
            f"{path}: {'no PNG, JPEG or DICOM files' if path.is_dir() else 'no such folder'}",
            "a folder of images without labels",
            "correct the path, or add images",
        )
    _check_square(path, task)
    spec, allowed = task.preprocessing, isinstance(options, FolderOptions | DicomOptions) and options.burned_in
    rows = [picture_rows(spec, file.read_bytes(), str(file), burned_in=allowed) for file in files]
    several = spec.of_pictures().frames is Frames.ALL
    ids = [
        f"{file.relative_to(path).as_posix()}{f'#{frame:04d}' if several else ''}"
        for file, found in zip(files, rows, strict=True)
        for frame in range(1, len(found) + 1)
    ]
    return np.concatenate(rows), np.array(ids)


_READERS: Mapping[str, Callable[[Path, Task, SourceOptions], Rows]] = {"npz": _from_npz, "folder": _from_folder}


def _check_square(path: Path, task: Task) -> None:
    height, width, _ = task.preprocessing.raw_shape
    if height != width:
        raise DataError(
            f"{path}: images to be resized for {task.name}, whose images are {height} x {width}",
            "a task of square images, or transfer images of the task's own size",
            "resize them first and save them as npz",
        )


def _resized(path: Path, task: Task, images: Iterable[np.ndarray]) -> np.ndarray:
    """Images of any size as (n, side, side, channel), cropped and interpolated as the task's own were where that is known."""
    _check_square(path, task)
    height, _, channels = task.preprocessing.raw_shape
    picture = task.preprocessing.picture or Picture()
    made: list[np.ndarray] = []
    for row, image in enumerate(images):
        if image.shape[2] != channels:
            raise DataError(
                f"{path}, row {row}: an image of {image.shape[2]} channels",
                f"{channels}, as the images of {task.name} have",
                "convert the images to grey or RGB first",
            )
        made.append(resize(image, height, cropped=picture.cropped, resample=picture.resample))
    return np.stack(made)


def _check(path: Path, task: Task, inputs: np.ndarray, ids: np.ndarray) -> None:
    """Shape, number type, finite values, and one row per id."""
    wanted = task.train.inputs.dtype
    if inputs.dtype != wanted:
        raise DataError(
            f"{path}: rows of type {inputs.dtype}",
            f"{wanted}, as the rows of {task.name}",
            "save them as they are before any scaling",
        )
    try:
        check_raw(task.preprocessing, inputs)
    except DataError as error:
        raise DataError(f"{path}: {error.given}", f"{error.expected}, as {task.name} has them", error.todo) from error
    unique, first = np.unique(ids, return_index=True)
    if len(unique) < len(ids):
        row = int(np.setdiff1d(np.arange(len(ids)), first)[0])
        raise DataError(
            f"{path}, row {row}: id {ids[row]!s} stands there twice", "one row per id", "take the repeated rows out"
        )


def _judged(path: Path, task: Task, rows: Split, rule: OverlapRule) -> np.ndarray:
    """(n,) which rows are in validation or test too; DataError where the rule is to refuse them."""
    keys = row_keys(rows.inputs)
    judged = np.zeros(len(rows), dtype=bool)
    examples = []
    for name in JUDGES:
        found = np.isin(keys, row_keys(task.splits[name].inputs))
        judged |= found
        if found.any():
            named = ", ".join(f"{row} ({rows.ids[row].removeprefix(PREFIX)})" for row in np.flatnonzero(found)[:3])
            examples.append(f"{int(found.sum())} are also in {name.value} (first rows {named})")
    if judged.any() and rule is OverlapRule.REFUSE:
        raise DataError(
            f"{path}: of {len(rows)} transfer rows {'; '.join(examples)}",
            "transfer rows that no split judges by",
            'set overlap = "drop-train" to drop them from the transfer rows',
        )
    if judged.all():
        raise DataError(f"{path}: every row is also in validation or test", "some rows left", "take other rows")
    return judged
