"""A zip of an .mlpackage folder, verified before any of it is read, and never unpacked to a disk.

    NAME.mlpackage/Manifest.json
    NAME.mlpackage/Data/com.apple.CoreML/model.mlmodel
    NAME.mlpackage/Data/com.apple.CoreML/weights/weight.bin      where the model has any
Nothing else may be in it: no other file, no link, no second folder, nothing that is much larger than the zip.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

SUFFIX = ".mlpackage"
DATA = "Data/"
MANIFEST, MODEL, WEIGHTS = (
    "Manifest.json",
    "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
)
WEIGHTS_PATH = "@model_path/weights/weight.bin"
"""What a program calls its file of weights."""
FOLDERS = frozenset({"", "Data/", "Data/com.apple.CoreML/", "Data/com.apple.CoreML/weights/"})
MOST_TIMES, SMALL_BYTES, MOST_BYTES = 50, 2**26, 2**32
"""A zip may hold so many times its own size (weights that are mostly 0 pack well), a small one more."""
ENCRYPTED = 0x1
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, OverflowError, NotImplementedError, RuntimeError)
"""What zipfile raises for a damaged file."""


@dataclass(frozen=True)
class Package:
    """What is in a package: the bytes of its model, and of its weights, which may be none."""

    model: bytes
    weights: bytes


def opened(data: bytes) -> Package:
    """The model and the weights in the bytes of a zip; ValueError, with what is wrong, where it is not such a package."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            parts = {name: file.read(entry) for name, entry in _verified(file, len(data)).items()}
    except UNREADABLE as error:
        raise ValueError(f"not a whole zip: {error}") from error
    _check_manifest(parts)
    return Package(parts[MODEL], parts.get(WEIGHTS, b""))


def _verified(file: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries of a package by their place in its folder."""
    entries = file.infolist()
    root = entries[0].filename.partition("/")[0] if entries else ""
    if not root.endswith(SUFFIX) or root == SUFFIX:
        raise ValueError(f"it begins with '{root[:80]}' instead of a folder NAME{SUFFIX}")
    parts: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = entry.filename.removeprefix(f"{root}/")
        mode = entry.external_attr >> 16
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
            raise ValueError(f"'{entry.filename[:120]}' is a link or a device, not a file")
        if name == entry.filename or name not in {MANIFEST, MODEL, WEIGHTS, *FOLDERS}:
            raise ValueError(f"'{entry.filename[:120]}' is not a part of an {SUFFIX} folder")
        if entry.flag_bits & ENCRYPTED or entry.compress_type not in READABLE:
            raise ValueError(f"'{entry.filename[:120]}' is encrypted, or packed in another way than deflate")
        if name in parts:
            raise ValueError(f"'{entry.filename[:120]}' is there twice")
        if name not in FOLDERS:
            parts[name] = entry
    total, most = sum(entry.file_size for entry in entries), min(max(SMALL_BYTES, MOST_TIMES * size), MOST_BYTES)
    if total > most:
        raise ValueError(f"unpacked it would be {total} bytes, and {most} are the most for a zip of {size}")
    missing = [name for name in (MANIFEST, MODEL) if name not in parts]
    if missing:
        raise ValueError(f"it has no {' and no '.join(missing)}")
    return parts


def _check_manifest(parts: dict[str, bytes]) -> None:
    """ValueError unless the manifest names the model, and the weights where there are any."""
    try:
        manifest: Any = json.loads(parts[MANIFEST])
        items = manifest["itemInfoEntries"]
        root, paths = items[manifest["rootModelIdentifier"]]["path"], {item["path"] for item in items.values()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its {MANIFEST} is not one of a model package ({type(error).__name__}: {error})") from error
    named = {f"{DATA}{path}" for path in paths}
    if f"{DATA}{root}" != MODEL or not named <= {MODEL, WEIGHTS, WEIGHTS.rpartition("/")[0]}:
        raise ValueError(f"its {MANIFEST} names other items than {MODEL} and {WEIGHTS}")
