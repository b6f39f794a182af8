"""``npz:PATH``: one .npz in the MedMNIST layout, {train,val,test}_{images,labels}.

    images  (n, height, width) or (n, height, width, channel) uint8
    labels  (n,), (n, 1) class indices, or (n, classes) of 0/1 for kind = "multi-label"

Further arrays are used where they are there or named: class_names (classes,), and per split ids, masks, a cluster
(patient, subject, lesion) and groups. Rows of a CSV join on the ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.checks import Npz, check_rows
from galenic.tasks.groups import GroupTable, read_groups
from galenic.tasks.labels import default_positive, name_classes, positive_indices, read_labels
from galenic.tasks.source import Classes, Names, RawTask, Source, SourceOptions

FILE_NAMES: Mapping[SplitName, str] = {
    SplitName.TRAIN: "train",
    SplitName.VALIDATION: "val",
    SplitName.TEST: "test",
}
CLUSTER_KEYS = ("patient", "subject", "lesion")


class NpzOptions(SourceOptions):
    """What ``npz:PATH`` takes."""

    kind: TaskKind = Field(default=TaskKind.SINGLE_LABEL, description="single-label, multi-label or ordinal")
    classes: Names = Field(default=(), description="class names in label order (class_names in the file otherwise)")
    positive: Classes | None = Field(
        default=None, description="classes that count as disease, by name or index; class 1 where there are two"
    )
    labels_key: str = Field(default="labels", description="labels are the arrays {split}_KEY")
    id_key: str = Field(default="ids", description="case ids are {split}_KEY, row numbers where there is no such array")
    cluster_key: str | None = Field(
        default=None, description="{split}_KEY says which rows belong together; patient, subject or lesion if present"
    )
    group_keys: Names = Field(default=(), description="subgroups are {split}_KEY")
    masks: bool = Field(default=True, description="read {split}_masks where present")
    groups_csv: Path | None = Field(default=None, description="a CSV of subgroups, joined on the ids")
    csv_id: str = Field(default="image_id", description="the column of groups_csv that holds the ids")
    csv_columns: Names = Field(default=(), description="columns of groups_csv, such as age, sex (default: all)")
    csv_band: float = Field(default=20, gt=0, description="numeric columns are cut into bands of this width")


def load_npz(argument: str, options: NpzOptions) -> RawTask:
    """Read the file; nothing in it is executed."""
    path = Path(argument).expanduser()
    file = Npz(path)
    needed = [f"{name}_{key}" for name in FILE_NAMES.values() for key in ("images", options.labels_key)]
    file.require(needed, "{train,val,test}_images and {train,val,test}_" + options.labels_key)
    cluster = options.cluster_key or next((key for key in CLUSTER_KEYS if f"train_{key}" in file), None)
    table = (
        read_groups(options.groups_csv, options.csv_id, options.csv_columns, options.csv_band)
        if options.groups_csv
        else None
    )
    if table is not None and f"train_{options.id_key}" not in file:
        file.require([f"{name}_{options.id_key}" for name in FILE_NAMES.values()], "{split}_ids, to join the CSV on")
    splits = {name: _read_split(file, name, options, cluster, table) for name in FILE_NAMES}
    given = options.classes or _class_names(file)
    classes = name_classes([split.labels for split in splits.values()], given)
    return RawTask(
        name=path.stem,
        where=str(path),
        kind=options.kind,
        classes=classes,
        positive=positive_indices(options.positive, classes, default_positive(options.kind, classes)),
        splits=splits,
        modality=Modality.IMAGE,
        scale=image_scale(str(path), splits[SplitName.TRAIN].inputs),
        cluster_name=cluster or "cluster",
    )


def image_scale(where: str, images: np.ndarray) -> float:
    """1/255 for 8-bit images; floats are taken as they are."""
    if images.dtype == np.uint8:
        return 1 / 255
    if images.dtype.kind == "f":
        return 1.0
    raise DataError(f"{where}: images of type {images.dtype}", "uint8, or floats", "save the images as uint8")


def read_images(where: str, split: str, images: np.ndarray) -> np.ndarray:
    """(n, height, width[, channel]) to (n, height, width, channel)."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 5 or (images.ndim == 4 and images.shape[-1] > 4):
        raise DataError(
            f"{where}, split {split}: images of shape {images.shape}, volumes or channels first",
            "(n, height, width) or (n, height, width, channel) with 1 to 4 channels",
            "put the channel last; 3D volumes are not supported yet",
        )
    if images.ndim != 4:
        raise DataError(
            f"{where}, split {split}: images of shape {images.shape}",
            "(n, height, width) or (n, height, width, channel)",
            "reshape the images",
        )
    return images


def _read_split(
    file: Npz, name: SplitName, options: NpzOptions, cluster: str | None, table: GroupTable | None
) -> Split:
    short, where = FILE_NAMES[name], str(file.path)
    images = read_images(where, name.value, file.read(f"{short}_images"))
    raw_labels = file.read(f"{short}_{options.labels_key}")
    check_rows(where, name.value, {"images": images, options.labels_key: raw_labels})
    ids = read_ids(file, name, options.id_key, len(images))
    keys = [f"{short}_{key}" for key in (*options.group_keys, *((cluster,) if cluster else ()))]
    file.require(keys, "one array per group_keys and cluster_key")
    groups = {key: file.read(f"{short}_{key}").astype(str) for key in options.group_keys}
    if table is not None:
        groups |= table.join(where, name.value, ids)
    return Split(
        inputs=images,
        labels=read_labels(where, name.value, options.kind, raw_labels),
        ids=ids,
        groups=groups,
        clusters=file.read(f"{short}_{cluster}").astype(str) if cluster else None,
        masks=file.read(f"{short}_masks") if options.masks and f"{short}_masks" in file else None,
    )


def read_ids(file: Npz, name: SplitName, key: str, count: int) -> np.ndarray:
    """(n,) str from the file, or the split's name and row number; an id array other than "ids" has to be there."""
    array = f"{FILE_NAMES[name]}_{key}"
    if array in file:
        return file.read(array).astype(str)
    if key != "ids":
        file.require([array], "{train,val,test}_" + key)
    return np.array([f"{FILE_NAMES[name]}-{row:06d}" for row in range(count)])


def _class_names(file: Npz) -> tuple[str, ...]:
    return tuple(str(name) for name in file.read("class_names")) if "class_names" in file else ()


NPZ = Source("npz", "PATH", "images in one .npz in the MedMNIST layout", NpzOptions, load_npz)
