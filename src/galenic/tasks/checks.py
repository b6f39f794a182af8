"""Refuse bad data by name: the file, the split and the row.

Files are opened with ``allow_pickle=False``: an object array is a pickle, and a pickle runs code.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from galenic.record.errors import DataError
from galenic.record.task import Split, SplitName, TaskKind


def existing_file(path: Path) -> Path:
    """``path``, where it is a file with something in it."""
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*"))[:8] if path.parent.is_dir() else []
        has = f"{path.parent} has {', '.join(beside)}" if beside else f"{path.parent} has nothing"
        raise DataError(f"{path}: no such file ({has})", "a data file", "correct the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes)", "a data file", "copy or download it again")
    return path


class Npz:
    """The named arrays of one .npz, read one at a time, without pickles."""

    def __init__(self, path: Path) -> None:
        self.path = existing_file(path)
        if not zipfile.is_zipfile(path):
            raise DataError(
                f"{path}: not a whole .npz ({path.stat().st_size} bytes, no zip directory)",
                "a .npz written by numpy.savez",
                "copy or download it again; a lone .npy or a pickle is not read",
            )
        try:
            with zipfile.ZipFile(path) as archive:
                self.keys = tuple(name.removesuffix(".npy") for name in archive.namelist())
        except (OSError, zipfile.BadZipFile) as error:
            raise self._corrupt("its directory", error) from error

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def require(self, keys: Sequence[str], layout: str) -> None:
        """DataError names the missing keys and those that the file has."""
        missing = [key for key in keys if key not in self.keys]
        if missing:
            raise DataError(
                f"{self.path}: no {', '.join(missing)}; the file has {', '.join(self.keys) or 'no arrays'}",
                f"the layout {layout}",
                "rename the arrays, or set the option that names them",
            )

    def read(self, key: str) -> np.ndarray:
        """One array; DataError where it is damaged or made of Python objects."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                array: np.ndarray = file[key]
        except ValueError as error:
            if "pickle" not in str(error).lower():
                raise self._corrupt(key, error) from error
            raise DataError(
                f"{self.path}: array {key} is made of Python objects",
                "plain numbers or strings (pickles are never loaded: they can run code)",
                f"save {key} as one array of one type, e.g. {key}.astype(str)",
            ) from error
        except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise self._corrupt(key, error) from error
        return array

    def _corrupt(self, key: str, error: Exception) -> DataError:
        return DataError(
            f"{self.path}: {key} cannot be read, the file is damaged ({error})",
            "a whole .npz",
            "copy or download it again",
        )


def check_rows(where: str, split: str, arrays: Mapping[str, np.ndarray]) -> None:
    """All arrays of one split have the same, non-zero, number of rows."""
    for name, array in arrays.items():
        if array.ndim == 0:
            raise DataError(f"{where}, split {split}: {name} is a single value", "one entry per row", "check the file")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in lengths.items())
        raise DataError(
            f"{where}, split {split}: {told} rows; row {min(lengths.values())} is the first without a partner",
            "the same number of rows in each array of a split",
            "write the file again from one list of cases",
        )
    if 0 in lengths.values():
        raise DataError(
            f"{where}, split {split}: 0 rows", "at least one row in each split", "put cases into it or split anew"
        )


def check_inputs(where: str, split: str, inputs: np.ndarray) -> None:
    """Numbers, and all of them finite."""
    if inputs.dtype.kind not in "uif":
        raise DataError(
            f"{where}, split {split}: rows of type {inputs.dtype}", "integers or floats", "convert the rows"
        )
    if inputs.dtype.kind != "f":
        return
    finite = np.isfinite(inputs.reshape(len(inputs), -1)).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise DataError(
            f"{where}, split {split}, row {bad[0]}: a value that is NaN or infinite ({len(bad)} such rows)",
            "finite values",
            "repair or leave out these rows",
        )


def check_splits(where: str, splits: Mapping[SplitName, Split]) -> None:
    """What has to hold within each split, and of their shapes."""
    first = splits[SplitName.TRAIN]
    for name, split in splits.items():
        columns = {"inputs": split.inputs, "labels": split.labels, "ids": split.ids, **split.groups}
        columns |= {} if split.clusters is None else {"clusters": split.clusters}
        columns |= {} if split.masks is None else {"masks": split.masks}
        check_rows(where, name.value, columns)
        check_inputs(where, name.value, split.inputs)
        if split.inputs.shape[1:] != first.inputs.shape[1:] or split.inputs.dtype != first.inputs.dtype:
            raise DataError(
                f"{where}, split {name.value}: rows are {split.inputs.dtype} {split.inputs.shape[1:]}, "
                f"those of train {first.inputs.dtype} {first.inputs.shape[1:]}",
                "the same shape and type in each split",
                "resize or convert one of them",
            )
        _check_masks(where, name, split)


def check_task(where: str, kind: TaskKind, classes: tuple[str, ...], splits: Mapping[SplitName, Split]) -> None:
    """What has to hold of the classes, and of ids between splits, once overlap is settled."""
    for name, split in splits.items():
        check_classes(where, name, split.labels, classes)
    if kind is not TaskKind.MULTI_LABEL:
        _check_seen(where, classes, splits)
    _check_ids(where, splits)


def check_classes(where: str, name: SplitName, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """A split of one class only can neither be learned nor judged."""
    if name is SplitName.CALIBRATION or not (labels == labels[:1]).all():
        return
    if labels.ndim == 1:
        raise DataError(
            f"{where}, split {name.value}: all {len(labels)} rows are {classes[int(labels[0])]!r}, one class only",
            "at least two classes in each split",
            "split anew with every class on each side",
        )
    raise DataError(
        f"{where}, split {name.value}: all {len(labels)} rows have the same labels, one class only",
        "at least one label that varies",
        "split anew",
    )


def _check_seen(where: str, classes: tuple[str, ...], splits: Mapping[SplitName, Split]) -> None:
    known = np.unique(splits[SplitName.TRAIN].labels)
    for name, split in splits.items():
        unseen = np.flatnonzero(~np.isin(split.labels, known))
        if len(unseen):
            row = int(unseen[0])
            raise DataError(
                f"{where}, split {name.value}, row {row} (id {split.ids[row]!s}): class {classes[split.labels[row]]!r} "
                f"has no row in train ({len(unseen)} such rows)",
                "classes that the training rows have",
                "split anew, or take these rows out",
            )


def _check_masks(where: str, name: SplitName, split: Split) -> None:
    if split.masks is None:
        return
    if split.masks.shape != split.inputs.shape[:3]:
        raise DataError(
            f"{where}, split {name.value}: masks of shape {split.masks.shape}",
            f"{split.inputs.shape[:3]}, one value per pixel",
            "resize the masks with their images",
        )
    outside = np.flatnonzero((split.masks > 1).reshape(len(split.masks), -1).any(axis=1))
    if len(outside):
        raise DataError(
            f"{where}, split {name.value}, row {outside[0]}: a mask value of {split.masks[outside[0]].max()}",
            "0 outside and 1 inside",
            "divide the masks by their largest value",
        )


def _check_ids(where: str, splits: Mapping[SplitName, Split]) -> None:
    names = [name for name in splits if name is not SplitName.CALIBRATION]
    every = np.concatenate([splits[name].ids for name in names])
    unique, first, counts = np.unique(every, return_index=True, return_counts=True)
    if len(unique) == len(every):
        return
    twice = unique[counts > 1][np.argmin(first[counts > 1])]
    places = [f"{name.value} row {row}" for name in names for row in np.flatnonzero(splits[name].ids == twice)]
    raise DataError(
        f"{where}: id {twice!s} stands at {', '.join(places[:4])} ({int((counts > 1).sum())} such ids)",
        "one row per id",
        "take the repeated rows out, or name another id array with id_key",
    )
