"""``cifar10``: CIFAR-10 (Krizhevsky 2009), 50,000 / 10,000 photographs at 32x32x3.

Read from any of
- the published binary archive cifar-10-binary.tar.gz, or a folder with its data_batch_1..5.bin and test_batch.bin
  (records of 1 label byte and 3,072 pixel bytes, channel first),
- a .npz of JPEG files laid end to end: {train,test}_jpeg, _offsets, _labels, and class_names (lossy copies).

The "python version" is a set of pickles, which can run code when they are read: it is refused. Validation rows are
taken out of the training rows.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import Field

from galenic.preprocess.image import decode
from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.checks import Npz, check_rows, existing_file
from galenic.tasks.fetch import cache_folder, fetch
from galenic.tasks.labels import read_labels
from galenic.tasks.overlap import row_keys
from galenic.tasks.source import RawTask, Source, SourceOptions
from galenic.tasks.split import hold_out

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SIDE, _RECORD = 32, 1 + 3 * 32 * 32
_TRAIN_FILES = tuple(f"data_batch_{batch}.bin" for batch in range(1, 6))
_TEST_FILE = "test_batch.bin"


class Cifar10Options(SourceOptions):
    """What ``cifar10`` takes."""

    path: Path | None = Field(
        default=None, description="a local .tar.gz, a folder of .bin files or a JPEG .npz, instead of the download"
    )
    cache: Path | None = Field(default=None, description="folder of downloads (GALENIC_DATA, else ~/.cache/galenic)")
    validation: int = Field(default=5000, ge=1, description="about how many rows of train become validation")


def load_cifar10(_: str, options: Cifar10Options) -> RawTask:
    """Read the data, downloaded where no ``path`` is given."""
    path = options.path or fetch(URL, f"md5:{MD5}", "cifar-10-binary.tar.gz", cache_folder(options.cache))
    read = _read_jpegs if path.suffix == ".npz" else _read_binary
    train, test, title = read(path)
    rest, validation = hold_out(train, row_keys(train.inputs), options.validation, options.seed)
    return RawTask(
        name=title,
        where=str(path),
        kind=TaskKind.SINGLE_LABEL,
        classes=CLASSES,
        positive=(),
        splits={SplitName.TRAIN: rest, SplitName.VALIDATION: validation, SplitName.TEST: test},
        modality=Modality.IMAGE,
        scale=1 / 255,
    )


def _read_binary(path: Path) -> tuple[Split, Split, str]:
    member = _folder_reader(path) if path.is_dir() else _archive_reader(path)
    train = [_records(name, member(name), path) for name in _TRAIN_FILES]
    images = np.concatenate([part[0] for part in train])
    labels = np.concatenate([part[1] for part in train])
    return _split(images, labels, "train"), _split(*_records(_TEST_FILE, member(_TEST_FILE), path), "test"), "CIFAR-10"


def _records(name: str, data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    if len(data) == 0 or len(data) % _RECORD:
        raise DataError(
            f"{path}, {name}: {len(data)} bytes, cut off in row {len(data) // _RECORD}",
            f"records of {_RECORD} bytes",
            "copy or download it again",
        )
    table = np.frombuffer(data, dtype=np.uint8).reshape(-1, _RECORD)
    bad = np.flatnonzero(table[:, 0] >= len(CLASSES))
    if len(bad):
        raise DataError(
            f"{path}, {name}, row {bad[0]}: label {table[bad[0], 0]} is out of range ({len(bad)} such rows)",
            "labels 0 to 9",
            "copy or download it again",
        )
    images = table[:, 1:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), table[:, 0].astype(np.int64)


def _folder_reader(path: Path) -> Callable[[str], bytes]:
    has = sorted(entry.name for entry in path.iterdir())
    missing = [name for name in (*_TRAIN_FILES, _TEST_FILE) if name not in has]
    if missing and "data_batch_1" in has:
        raise _pickled(path)
    if missing:
        raise DataError(
            f"{path}: no {', '.join(missing)}; the folder has {', '.join(has[:8]) or 'nothing'}",
            "the files of CIFAR-10's binary version",
            f"download {URL}, or give the folder that holds its files",
        )
    return lambda name: existing_file(path / name).read_bytes()


def _archive_reader(path: Path) -> Callable[[str], bytes]:
    """Members are read in memory; nothing is unpacked."""
    existing_file(path)
    try:
        with tarfile.open(path) as archive:
            members = {Path(entry.name).name: entry for entry in archive if entry.isfile()}
            if "data_batch_1" in members:
                raise _pickled(path)
            wanted = [members[name] for name in (*_TRAIN_FILES, _TEST_FILE)]
            content = {Path(entry.name).name: file.read() for entry in wanted if (file := archive.extractfile(entry))}
    except KeyError as error:
        raise DataError(f"{path}: no {error.args[0]} in it", "CIFAR-10's binary version", f"download {URL}") from error
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: damaged ({error})", "a whole cifar-10-binary.tar.gz", f"download {URL} again"
        ) from error
    return content.__getitem__


def _pickled(path: Path) -> DataError:
    return DataError(
        f"{path}: the python version of CIFAR-10, whose batches are pickles",
        "the binary version: pickles are never loaded, they can run code",
        f"download {URL}",
    )


def _read_jpegs(path: Path) -> tuple[Split, Split, str]:
    file = Npz(path)
    keys = [f"{split}_{key}" for split in ("train", "test") for key in ("jpeg", "offsets", "labels")]
    file.require(keys, "{train,test}_jpeg, _offsets and _labels")
    names = tuple(str(name) for name in file.read("class_names")) if "class_names" in file else CLASSES
    if names != CLASSES:
        raise DataError(f"{path}: classes {', '.join(names)}", ", ".join(CLASSES), "number the labels in this order")
    return _jpeg_split(file, "train"), _jpeg_split(file, "test"), "CIFAR-10, JPEG copy"


def _jpeg_split(file: Npz, short: str) -> Split:
    data, offsets = file.read(f"{short}_jpeg"), file.read(f"{short}_offsets").astype(np.int64)
    labels = read_labels(str(file.path), short, TaskKind.SINGLE_LABEL, file.read(f"{short}_labels"))
    where = f"{file.path}, split {short}"
    if len(offsets) == 0 or offsets[0] != 0 or (np.diff(offsets) <= 0).any() or offsets[-1] != len(data):
        raise DataError(
            f"{where}: offsets do not run from 0 to the {len(data)} bytes of {short}_jpeg",
            "n + 1 rising offsets",
            "write the file again",
        )
    check_rows(str(file.path), short, {"jpeg": offsets[1:], "labels": labels})
    images = np.empty((len(labels), _SIDE, _SIDE, 3), dtype=np.uint8)
    for row in range(len(labels)):
        image = decode(data[offsets[row] : offsets[row + 1]].tobytes(), f"{where}, row {row}")
        if image.shape != images.shape[1:]:
            raise DataError(f"{where}, row {row}: an image of shape {image.shape}", "(32, 32, 3)", "resize it")
        images[row] = image
    return _split(images, labels, short)


def _split(images: np.ndarray, labels: np.ndarray, short: str) -> Split:
    return Split(images, labels, np.array([f"{short}-{row:05d}" for row in range(len(labels))]))


CIFAR10 = Source(
    "cifar10", "", "CIFAR-10, 50,000 / 10,000 photographs at 32x32 in ten classes", Cifar10Options, load_cifar10
)
