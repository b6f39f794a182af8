"""``dicom:PATH``: a folder of DICOM files, of any depth, and a CSV of their labels.

    file, label     the path inside PATH (or the bare name, where it stands in one folder alone), and the class
    split           train, val or test; without such a column whole patients are held out, by a seed
    patient         files of one patient stay on one side (subject, lesion and group are found too; cluster_column names another)
    other columns   subgroups where group_columns names them; case ids where id_column does, the file's path otherwise

The CSV is PATH/labels.csv unless ``labels`` names another; files that it does not name are not read.

Patients are told from the CSV alone: patient tags are never read (``preprocess/dicom_file.py``), so two files of one patient
look like two patients where no column says otherwise. Without a split column such a CSV is refused until
``one_file_per_patient`` says that it is so. Case ids and group values are what the CSV says: give it no names.

A file of several frames is refused until ``frames`` says which; with "all", each frame is a row, and the frames of one file
never stand on two sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from galenic.preprocess.dicom import decode_dicom
from galenic.preprocess.image import Resample, resize, with_channels
from galenic.record.errors import DataError, InputError
from galenic.record.preprocessing import FrameChoice, Frames, Modality, Picture
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.csv_rows import CsvRows, read_csv
from galenic.tasks.csv_sides import read_classes, read_groups, read_sides, says_order
from galenic.tasks.labels import default_positive, positive_indices
from galenic.tasks.overlap import row_keys
from galenic.tasks.source import Classes, Names, RawTask, Source, SourceOptions
from galenic.tasks.split import three_ways
from galenic.tasks.text import JUDGED

LABELS = "labels.csv"
CLUSTER_COLUMNS = ("patient", "subject", "lesion", "group")


class DicomOptions(SourceOptions):
    """What ``dicom:PATH`` takes."""

    labels: Path | None = Field(default=None, description="the CSV of labels (default: labels.csv in the folder)")
    file_column: str = Field(default="file", description="the column of the files, as paths inside the folder")
    label_column: str = Field(default="label", description="the column of the classes, by name or number")
    split_column: str | None = Field(
        default=None, description="the column of train, val and test (default: split where there is one, else hold out)"
    )
    cluster_column: str | None = Field(
        default=None,
        description="which files are of one patient (default: patient, subject, lesion or group if present)",
    )
    one_file_per_patient: bool = Field(
        default=False, description="say so where each file is another patient, and no column is needed"
    )
    id_column: str | None = Field(default=None, description="the column of case ids (default: the file's path)")
    group_columns: Names = Field(default=(), description="columns that are subgroups, such as sex or device")
    band: float = Field(default=20, gt=0, description="numeric group columns are cut into bands of this width")
    frames: FrameChoice | None = Field(
        default=None, description="of files with several: first, middle, all, or a number from 1"
    )
    burned_in: bool = Field(
        default=False, description="take files that say a patient can be told from their pixels (Burned In Annotation)"
    )
    size: int = Field(default=64, ge=8, description="images are resized to this side in pixels")
    channels: int | None = Field(default=None, description="1 for grey, 3 for RGB (default: 3 if any file has colour)")
    crop: bool = Field(default=True, description="cut the middle square; otherwise the image is squeezed")
    resample: Resample = Field(default=Resample.BICUBIC, description="bilinear or bicubic")
    kind: TaskKind = Field(default=TaskKind.SINGLE_LABEL, description="single-label or ordinal")
    classes: Names = Field(default=(), description="class names in label order (default: those of the file, sorted)")
    positive: Classes | None = Field(
        default=None,
        description="classes that count as disease, by name or index; class 1 where there are two, numbered or listed",
    )
    validation: float = Field(default=0.15, gt=0, lt=0.5, description="share held out where there is no split column")
    test: float = Field(default=0.25, gt=0, lt=0.5, description="share held out where there is no split column")


@dataclass(frozen=True)
class Rows:
    """The rows of all files: (n, side, side, channel) uint8, their line in the CSV, and their ids."""

    images: np.ndarray
    lines: np.ndarray
    ids: np.ndarray


def load_dicom(argument: str, options: DicomOptions) -> RawTask:
    """Read, window and resize all pictures; DataError names the file and the CSV's line of whatever cannot be used."""
    root = Path(argument).expanduser()
    _check_options(options)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", "a folder of DICOM files and their labels.csv", "correct the path")
    table = read_csv(options.labels.expanduser() if options.labels else root / LABELS)
    table.require([name for name in (options.file_column, options.label_column, options.id_column) if name])
    classes, labels = read_classes(table, options.label_column, options.classes)
    sides, cluster = read_sides(table, options.split_column), cluster_column(table, options)
    if sides is None and cluster is None and not options.one_file_per_patient:
        raise DataError(
            f"{table.path}: neither a column split nor one that says which files are of one patient",
            "one of them: patient tags are never read, so files of one patient could stand on two sides",
            "add a column patient (any code will do), or set one_file_per_patient = true if that is so",
        )
    groups = read_groups(table, options.group_columns, options.band)
    files = find_files(root, table, options.file_column)
    ids = (
        table.filled(options.id_column) if options.id_column else [path.relative_to(root).as_posix() for path in files]
    )
    rows = read_rows(files, ids, options)
    every_frame = options.frames is Frames.ALL
    names = table.filled(cluster) if cluster else ids if every_frame else None
    whole = Split(
        inputs=rows.images,
        labels=labels[rows.lines],
        ids=rows.ids,
        groups={name: values[rows.lines] for name, values in groups.items()},
        clusters=None if names is None else np.array(names)[rows.lines],
    )
    return RawTask(
        name=root.name,
        where=str(root),
        kind=options.kind,
        classes=classes,
        positive=positive_indices(
            options.positive,
            classes,
            default_positive(options.kind, classes) if says_order(options.classes, classes) else (),
        ),
        splits=_sides(whole, rows, sides, options),
        modality=Modality.IMAGE,
        scale=1 / 255,
        picture=Picture(cropped=options.crop, resample=options.resample, frames=options.frames),
        cluster_name=cluster or ("file" if every_frame else "cluster"),
    )


def _check_options(options: DicomOptions) -> None:
    if options.kind is TaskKind.MULTI_LABEL:
        raise InputError("kind multi-label with dicom:PATH", "single-label or ordinal", "use npz:PATH for many labels")
    if options.channels not in (None, 1, 3):
        raise InputError(f"dicom:PATH: channels={options.channels}", "1 (grey) or 3 (RGB)", "set channels to 1 or 3")


def cluster_column(table: CsvRows, options: DicomOptions) -> str | None:
    """The column that says which files are of one patient: the named one, or the first of those that are usual."""
    if options.cluster_column is not None:
        table.require([options.cluster_column])
        return options.cluster_column
    return next((name for name in CLUSTER_COLUMNS if name in table.header), None)


def find_files(root: Path, table: CsvRows, column: str) -> list[Path]:
    """The file of each line: by its path inside the folder, or by its name where that stands in one place alone."""
    inside = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    by_name: dict[str, list[str]] = {}
    for place in inside:
        by_name.setdefault(place.rpartition("/")[2], []).append(place)
    found: dict[str, int] = {}
    for row, cell in enumerate(table.filled(column)):
        named = cell.replace("\\", "/").removeprefix("./")
        places = [named] if named in inside else by_name.get(named, [])
        if len(places) != 1:
            told = f"stands at {', '.join(places[:3])}" if places else f"is not in {root}"
            raise DataError(
                f"{table.place(row)}: the file {cell!r} {told}",
                "one file for each line",
                "write its path inside the folder",
            )
        before = found.setdefault(places[0], row)
        if before != row:
            raise DataError(
                f"{table.place(row)}: the file {cell!r} stands in line {table.lines[before]} too",
                "one line for each file",
                "take one of the lines out",
            )
    return [inside[place] for place in found]


def read_rows(files: Sequence[Path], ids: Sequence[str], options: DicomOptions) -> Rows:
    """One row for each file, or for each frame of it."""
    images: list[np.ndarray] = []
    lines: list[int] = []
    names: list[str] = []
    for line, (path, name) in enumerate(zip(files, ids, strict=True)):
        decoded = decode_dicom(path.read_bytes(), str(path), options.frames, burned_in=options.burned_in)
        for number, image in enumerate(decoded, 1):
            images.append(resize(image, options.size, cropped=options.crop, resample=options.resample))
            lines.append(line)
            names.append(f"{name}#{number:04d}" if options.frames is Frames.ALL else name)
    channels = options.channels or max(image.shape[2] for image in images)
    return Rows(np.stack([with_channels(image, channels) for image in images]), np.array(lines), np.array(names))


def _sides(
    whole: Split, rows: Rows, sides: Sequence[SplitName] | None, options: DicomOptions
) -> dict[SplitName, Split]:
    """Split name -> its rows: by the split column, or held out by patient, by file, or by identical pictures."""
    if sides is not None:
        of_row = np.array([JUDGED.index(side) for side in sides])[rows.lines]
        return {name: whole.take(of_row == number) for number, name in enumerate(JUDGED)}
    if options.validation + options.test >= 1:
        raise InputError("validation + test of 1 or more", "some rows left to train on", "lower one of them")
    together = whole.clusters if whole.clusters is not None else row_keys(whole.inputs)
    parts = three_ways(whole.labels, together, options.validation, options.test, options.seed)
    return {name: whole.take(part) for name, part in zip(JUDGED, parts, strict=True)}


DICOM = Source(
    "dicom",
    "PATH",
    "a folder of DICOM files and a CSV of their labels; no patient tag is read",
    DicomOptions,
    load_dicom,
)
