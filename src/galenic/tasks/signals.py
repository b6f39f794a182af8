"""``signals:PATH``: windows of a signal in one .npz.

    {train,val,test}_x        (n, time, channel) integers or floats
    {train,val,test}_y        (n,) class indices
    {train,val,test}_subject  (n,) str, and any other column (activity, trial ...)

Windows of one subject are not independent: subject is the cluster where it is there, so that no subject may stand on
two sides.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.checks import Npz, check_rows
from galenic.tasks.labels import default_positive, name_classes, positive_indices, read_labels
from galenic.tasks.npz import FILE_NAMES, read_ids
from galenic.tasks.source import Classes, Names, RawTask, Source, SourceOptions


class SignalOptions(SourceOptions):
    """What ``signals:PATH`` takes."""

    kind: TaskKind = Field(default=TaskKind.SINGLE_LABEL, description="single-label, multi-label or ordinal")
    classes: Names = Field(default=(), description="class names in label order (class_names in the file otherwise)")
    positive: Classes | None = Field(
        default=None, description="classes that count as an event, by name or index; class 1 where there are two"
    )
    id_key: str = Field(default="ids", description="case ids are {split}_KEY, row numbers where there is no such array")
    group_keys: Names | None = Field(default=None, description="subgroups are {split}_KEY (default: subject)")
    cluster_key: str | None = Field(default=None, description="{split}_KEY says which rows belong together: subject")
    scale: float = Field(default=1.0, gt=0, description="what raw values are multiplied by")


def load_signals(argument: str, options: SignalOptions) -> RawTask:
    """Read the file; nothing in it is executed."""
    path = Path(argument).expanduser()
    file = Npz(path)
    file.require([f"{name}_{key}" for name in FILE_NAMES.values() for key in ("x", "y")], "{train,val,test}_x and _y")
    has_subject = "train_subject" in file
    cluster = options.cluster_key or ("subject" if has_subject else None)
    groups = options.group_keys if options.group_keys is not None else (("subject",) if has_subject else ())
    splits = {name: _read_split(file, name, options, cluster, groups) for name in FILE_NAMES}
    given = options.classes or (tuple(map(str, file.read("class_names"))) if "class_names" in file else ())
    classes = name_classes([split.labels for split in splits.values()], given)
    return RawTask(
        name=path.stem,
        where=str(path),
        kind=options.kind,
        classes=classes,
        positive=positive_indices(options.positive, classes, default_positive(options.kind, classes)),
        splits=splits,
        modality=Modality.SIGNAL,
        scale=options.scale,
        cluster_name=cluster or "cluster",
    )


def _read_split(
    file: Npz, name: SplitName, options: SignalOptions, cluster: str | None, groups: tuple[str, ...]
) -> Split:
    short, where = FILE_NAMES[name], str(file.path)
    windows, labels = file.read(f"{short}_x"), file.read(f"{short}_y")
    if windows.ndim != 3:
        raise DataError(
            f"{where}, split {name.value}: {short}_x of shape {windows.shape}",
            "(n, time, channel)",
            "cut the signal into windows of one length, and give one channel as (n, time, 1)",
        )
    check_rows(where, name.value, {f"{short}_x": windows, f"{short}_y": labels})
    file.require([f"{short}_{key}" for key in (*groups, *((cluster,) if cluster else ()))], "group_keys, cluster_key")
    return Split(
        inputs=windows,
        labels=read_labels(where, name.value, options.kind, labels),
        ids=read_ids(file, name, options.id_key, len(windows)),
        groups={key: np.asarray(file.read(f"{short}_{key}")).astype(str) for key in groups},
        clusters=file.read(f"{short}_{cluster}").astype(str) if cluster else None,
    )


SIGNALS = Source("signals", "PATH", "windows of a signal (time x channel) in one .npz", SignalOptions, load_signals)
