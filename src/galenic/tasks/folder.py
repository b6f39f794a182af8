"""``folder:PATH``: PNG, JPEG and DICOM (.dcm, .dicom) files in one folder per class.

    PATH/CLASS/*.png                         split here: seeded, stratified, identical images on one side
    PATH/{train,val,test}/CLASS/*.png        split as it is ("validation" is read too)

The id of a case is its path inside PATH. Classes are in alphabetical order unless ``classes`` gives another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from galenic.preprocess.image import SUFFIXES, Resample, decode, resize
from galenic.record.errors import DataError, InputError
from galenic.record.preprocessing import Modality, Picture
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.labels import default_positive, positive_indices
from galenic.tasks.overlap import row_keys
from galenic.tasks.source import Classes, Names, RawTask, Source, SourceOptions
from galenic.tasks.split import three_ways

_SPLIT_FOLDERS = {
    SplitName.TRAIN: ("train",),
    SplitName.VALIDATION: ("val", "validation", "valid"),
    SplitName.TEST: ("test",),
}


class FolderOptions(SourceOptions):
    """What ``folder:PATH`` takes."""

    size: int = Field(default=64, ge=8, description="images are resized to this side in pixels")
    channels: int = Field(default=3, description="3 for RGB, 1 for grey")
    crop: bool = Field(default=True, description="cut the middle square; otherwise the image is squeezed")
    resample: Resample = Field(default=Resample.BICUBIC, description="bilinear or bicubic")
    burned_in: bool = Field(
        default=False, description="take DICOM files that say a patient can be told from their pixels"
    )
    kind: TaskKind = Field(default=TaskKind.SINGLE_LABEL, description="single-label or ordinal")
    classes: Names = Field(default=(), description="the class folders in order (default: alphabetical)")
    positive: Classes | None = Field(
        default=None, description="classes that count as disease, by name or index; class 1 where there are two"
    )
    validation: float = Field(default=0.15, gt=0, lt=0.5, description="share of each class, without split folders")
    test: float = Field(default=0.25, gt=0, lt=0.5, description="share of each class, without split folders")


def load_folder(argument: str, options: FolderOptions) -> RawTask:
    """Read and resize all images."""
    root = Path(argument).expanduser()
    if options.kind is TaskKind.MULTI_LABEL:
        raise InputError("kind multi-label with folder:PATH", "single-label or ordinal", "use npz:PATH for many labels")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", "a folder with one folder per class", "correct the path")
    found = _split_folders(root)
    if found:
        parts = {name: _read(root, folder, options) for name, folder in found.items()}
        classes = _same_classes(root, {name: part[1] for name, part in parts.items()})
        splits = {name: part[0] for name, part in parts.items()}
    else:
        whole, classes = _read(root, root, options)
        rows = three_ways(whole.labels, row_keys(whole.inputs), options.validation, options.test, options.seed)
        splits = {name: whole.take(index) for name, index in zip(_SPLIT_FOLDERS, rows, strict=True)}
    return RawTask(
        name=root.name,
        where=str(root),
        kind=options.kind,
        classes=classes,
        positive=positive_indices(options.positive, classes, default_positive(options.kind, classes)),
        splits=splits,
        modality=Modality.IMAGE,
        scale=1 / 255,
        picture=Picture(cropped=options.crop, resample=options.resample),
    )


def _split_folders(root: Path) -> dict[SplitName, Path]:
    found = {
        name: root / folder
        for name, options in _SPLIT_FOLDERS.items()
        for folder in options
        if (root / folder).is_dir()
    }
    if found and len(found) < len(_SPLIT_FOLDERS):
        missing = [name.value for name in _SPLIT_FOLDERS if name not in found]
        raise DataError(
            f"{root}: folders {', '.join(path.name for path in found.values())}, none for {', '.join(missing)}",
            "train, val and test, or class folders only",
            "add the missing split, or move the classes up to be split here",
        )
    return found


def _read(root: Path, folder: Path, options: FolderOptions) -> tuple[Split, tuple[str, ...]]:
    classes = options.classes or tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != "."))
    if len(classes) < 2:
        raise DataError(
            f"{folder}: {len(classes)} class folders ({', '.join(classes) or 'none'}), fewer than two classes",
            "one folder per class, at least two",
            "sort the images into class folders",
        )
    images: list[np.ndarray] = []
    labels: list[int] = []
    ids: list[str] = []
    for label, name in enumerate(classes):
        for path in _image_files(folder / name):
            images.append(_load(path, options))
            labels.append(label)
            ids.append(path.relative_to(root).as_posix())
    return Split(np.stack(images), np.array(labels, dtype=np.int64), np.array(ids)), classes


def _image_files(folder: Path) -> Sequence[Path]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not files:
        raise DataError(
            f"{folder}: no PNG, JPEG or DICOM files", "at least one image of each class", "add images or drop it"
        )
    return files


def _load(path: Path, options: FolderOptions) -> np.ndarray:
    image = decode(path.read_bytes(), str(path), options.channels, burned_in=options.burned_in)
    return resize(image, options.size, cropped=options.crop, resample=options.resample)


def _same_classes(root: Path, classes: dict[SplitName, tuple[str, ...]]) -> tuple[str, ...]:
    if len(set(classes.values())) > 1:
        told = "; ".join(f"{name.value} has {', '.join(names)}" for name, names in classes.items())
        raise DataError(f"{root}: {told}", "the same class folders in each split", "add or rename the folders")
    return classes[SplitName.TRAIN]


FOLDER = Source("folder", "PATH", "PNG, JPEG or DICOM files in one folder per class", FolderOptions, load_folder)
