"""The files that ``galenic bench`` is given, as artifacts in the runtimes that they are to be timed in. Nothing needs torch.

A file is known by its card: FILE.json beside it, or else what travels inside of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from galenic.pipeline.card import read_card
from galenic.record.artifact import Artifact
from galenic.record.bench import DeviceMeasurement
from galenic.record.errors import InputError
from galenic.record.quant import Arithmetic
from galenic.runtimes.card import card_inside
from galenic.runtimes.load import RUNTIMES, runtime_named

RUNTIMES_OWN = (Arithmetic.BFLOAT16.value,)
"""Precisions that are a runtime's and not the file's: in another runtime the same file computes in other numbers."""


@dataclass(frozen=True)
class Target:
    """A file as it was given, and what it is in one runtime."""

    given: str
    artifact: Artifact


def artifact_at(path: Path) -> Artifact:
    """The file at ``path`` with its card.

    Raises:
        InputError: there is no file, or no card, beside it or inside, or its card is for another kind of file.
        ModelError: its card cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path}, which is not a file", "a file that galenic exported", "check the path")
    beside = read_card(path)
    if beside is not None:
        _check_runtime(beside.runtime, path)
        return beside.model_copy(update={"path": path})
    runtime = next((runtime for runtime in RUNTIMES if path.suffix in runtime.suffixes), None)
    inside = card_inside(path)
    if runtime is None and inside is not None:
        raise InputError(
            given=f"{path}, whose card is inside of it alone",
            expected=f"{path.name}.json beside it: {path.suffix} files are run only where that names their hash",
            todo="copy the card along with the file, or export it again with galenic",
        )
    if runtime is None or inside is None:
        raise InputError(
            given=f"{path}, which has no card: neither {path.name}.json beside it nor one inside",
            expected="a card, which says what the file's inputs are",
            todo="copy the card along with the file, or export it again with galenic",
        )
    data = path.read_bytes()
    return Artifact(
        path=path,
        runtime=runtime.name,
        precision="as given",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        lineage=(f"file:{path.name}",),
        preprocessing=inside.preprocessing,
        classes=inside.classes,
    )


def _check_runtime(name: str, path: Path) -> None:
    """InputError where a card's runtime is unknown here, or loads no file with such a suffix."""
    runtime = next((one for one in RUNTIMES if one.name == name), None)
    if runtime is None:
        raise InputError(
            given=f"{path}, whose card is for the runtime {name!r}",
            expected=f"one of {', '.join(one.name for one in RUNTIMES)}",
            todo="install the version of galenic that exported it, or export it again with this one",
        )
    if runtime.suffixes and path.suffix not in runtime.suffixes:
        raise InputError(
            given=f"{path}, whose card is for {name}",
            expected=f"a file that {name} loads: {', '.join(runtime.suffixes)}",
            todo="copy the card and the file that belong together",
        )


def targets(files: Sequence[Path], runtimes: Sequence[str]) -> list[Target]:
    """Every file in its card's own runtime; or in each of ``runtimes`` that loads such a file.

    Raises:
        InputError: no files, or one that none of ``runtimes`` loads.
        RecipeError: a runtime that does not exist.
    """
    if not files:
        raise InputError("no files", "at least one file", "name the files to measure")
    wanted = [runtime_named(name) for name in dict.fromkeys(runtimes)]
    found = []
    for path in dict.fromkeys(files):
        own = artifact_at(path)
        able = [one.name for one in wanted if one.name == own.runtime or path.suffix in one.suffixes]
        if wanted and not able:
            raise InputError(
                given=f"{path} for {', '.join(one.name for one in wanted)}",
                expected=f"a runtime that loads {path.suffix}: {', '.join(_loading(own))}",
                todo="name one of these, or leave --runtime out",
            )
        found += [Target(str(path), in_runtime(own, name)) for name in able or [own.runtime]]
    return found


def in_runtime(artifact: Artifact, runtime: str) -> Artifact:
    """The same file in another runtime; InputError where its precision is its own runtime's and not the file's."""
    if runtime != artifact.runtime and artifact.precision in RUNTIMES_OWN:
        raise InputError(
            given=f"{artifact.path} in {runtime}: it is {artifact.precision} in {artifact.runtime} alone",
            expected=f"{artifact.runtime}, which computes it in {artifact.precision}",
            todo=f"leave out --runtime {runtime} for it",
        )
    return artifact.model_copy(update={"runtime": runtime})


def read_measurement(path: Path) -> DeviceMeasurement:
    """What was measured on a device, from its JSON file.

    Raises:
        InputError: the file cannot be read, or is not such a measurement.
    """
    try:
        return DeviceMeasurement.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}, which cannot be read ({error.strerror})", "a measurement as JSON", "check the path"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(
            given=f"{path}: {where}: {first['msg']}",
            expected=f"JSON with the keys {', '.join(DeviceMeasurement.model_fields)}",
            todo=f"mend {where}",
        ) from error


def _loading(artifact: Artifact) -> list[str]:
    others = [one.name for one in RUNTIMES if artifact.path.suffix in one.suffixes]
    return list(dict.fromkeys([artifact.runtime, *others]))
