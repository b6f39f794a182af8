"""``medmnist:FLAG[@SIZE]``: a 2D set of MedMNIST v2 or MedMNIST+, downloaded from its published address and md5.

Loading it is asking for the download; it is kept in the cache folder. ``path`` reads a local file of that set instead.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import Field

from galenic.record.errors import InputError
from galenic.record.task import SplitName
from galenic.tasks.fetch import cache_folder, fetch
from galenic.tasks.labels import positive_indices
from galenic.tasks.medmnist_table import BASE_URL, SETS, VOLUMES, MedMnistSet
from galenic.tasks.npz import NpzOptions, load_npz
from galenic.tasks.source import Classes, RawTask, Source, SourceOptions, unknown_name


class MedMnistOptions(SourceOptions):
    """What ``medmnist:FLAG[@SIZE]`` takes."""

    path: Path | None = Field(default=None, description="a local file of this set, instead of the download")
    cache: Path | None = Field(default=None, description="folder of downloads (GALENIC_DATA, else ~/.cache/galenic)")
    url: str | None = Field(default=None, description="another server with the same files (GALENIC_MEDMNIST_URL)")
    positive: Classes | None = Field(default=None, description="classes that count as disease, by name or index")


def load_medmnist(argument: str, options: MedMnistOptions) -> RawTask:
    """Read the set's file, downloaded where no ``path`` is given."""
    known, size = parse_flag(argument)
    path = options.path or download(known, size, options)
    raw = load_npz(str(path), NpzOptions(kind=known.kind, classes=known.classes, masks=False))
    train = raw.splits[SplitName.TRAIN]
    side, channels = train.inputs.shape[1], train.inputs.shape[-1]
    if (side, channels) != (size, known.channels):
        raise InputError(
            f"{path}: images of {side} pixels and {channels} channels as medmnist:{argument}",
            f"{size} pixels and {known.channels} channels",
            f"ask for medmnist:{known.flag}@{side}, or give the right path",
        )
    return RawTask(
        name=f"{known.title} {size}x{size}{_copy_note(path, known, size)}",
        where=raw.where,
        kind=known.kind,
        classes=known.classes,
        positive=positive_indices(options.positive, known.classes, known.positive),
        splits=raw.splits,
        modality=raw.modality,
        scale=raw.scale,
        cluster_name=raw.cluster_name,
    )


def _copy_note(path: Path, known: MedMnistSet, size: int) -> str:
    with path.open("rb") as file:
        same = hashlib.file_digest(file, "md5").hexdigest() == known.md5[size]
    return "" if same else ", not the published file"


def download(known: MedMnistSet, size: int, options: MedMnistOptions) -> Path:
    """The cached file of this set."""
    base = (options.url or os.environ.get("GALENIC_MEDMNIST_URL") or BASE_URL).rstrip("/")
    name = known.file_name(size)
    return fetch(f"{base}/{name}?download=1", f"md5:{known.md5[size]}", name, cache_folder(options.cache) / "medmnist")


def parse_flag(argument: str) -> tuple[MedMnistSet, int]:
    """``breastmnist`` or ``breastmnist@128``; volumes are refused by name."""
    flag, _, written = argument.lower().partition("@")
    if flag in VOLUMES:
        raise InputError(
            f"medmnist:{flag}, a set of volumes", "a 2D set: volumes are not supported yet", "choose a 2D set"
        )
    known = next((entry for entry in SETS if entry.flag == flag), None)
    if known is None:
        raise unknown_name("MedMNIST set", flag, tuple(entry.flag for entry in SETS))
    sizes = {str(size): size for size in known.md5}
    if (written or "28") not in sizes:
        raise InputError(f"medmnist:{argument}", f"a size of {', '.join(sizes)}", f"write medmnist:{flag}@64")
    return known, sizes[written or "28"]


MEDMNIST = Source(
    "medmnist",
    "FLAG[@SIZE]",
    f"a published MedMNIST set ({', '.join(entry.flag for entry in SETS)}) at 28, 64, 128 or 224",
    MedMnistOptions,
    load_medmnist,
)
