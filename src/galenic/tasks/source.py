"""What a source of data is: a prefix, its options, and the function that reads or makes rows.

``galenic tasks`` and the errors for misspelt names are derived from these objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from galenic.record.base import Record
from galenic.record.errors import InputError
from galenic.record.preprocessing import Modality, Picture, WordPieces
from galenic.record.task import Split, SplitName, TaskKind

UNSUPPORTED_KINDS = ("segmentation", "regression")


def _as_names(value: Any) -> Any:
    """A bare string from the command line is a comma-separated list."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]
Classes = Annotated[tuple[str | int, ...], BeforeValidator(_as_names)]


class SourceOptions(Record):
    """What every source takes."""

    calibration: int = Field(
        default=200, ge=1, description="rows for quantization ranges, sampled from train (at most 10 % of it)"
    )
    seed: int = Field(default=0, ge=0, description="of whatever is drawn: splits, calibration rows, synthetic data")


@dataclass(frozen=True)
class RawTask:
    """What a source yields: checked labels and rows, before overlap, calibration and preprocessing.

    Attributes:
        name: a short name for people.
        where: the file or folder (or "synthetic"), for errors.
        kind, classes, positive: as in Task.
        splits: train, validation and test; calibration only where the source has rows of its own for it.
        modality, scale: of the preprocessing.
        synthetic: True where no patient stands behind a row.
        cluster_name: what ``clusters`` are (lesion, subject ...).
        text: for text alone, what made the token ids.
        picture: how the source made rows of picture files; None where it found rows, and nobody says how they were made.
    """

    name: str
    where: str
    kind: TaskKind
    classes: tuple[str, ...]
    positive: tuple[int, ...]
    splits: Mapping[SplitName, Split]
    modality: Modality
    scale: float
    synthetic: bool = False
    cluster_name: str = "cluster"
    text: WordPieces | None = None
    picture: Picture | None = None


@dataclass(frozen=True)
class Source:
    """One source of data.

    Attributes:
        prefix: what stands before the colon in ``prefix:argument``.
        argument: what stands after it, such as ``PATH``; empty where nothing does.
        summary: one line for people.
        options: the typed options, each with a description.
        load: (argument, options) to a RawTask.
    """

    prefix: str
    argument: str
    summary: str
    options: type[SourceOptions]
    load: Callable[[str, Any], RawTask] = field(repr=False)

    @property
    def form(self) -> str:
        """How it is written: ``npz:PATH`` or ``lesions``."""
        return f"{self.prefix}:{self.argument}" if self.argument else self.prefix

    def option_table(self) -> tuple[tuple[str, str, str], ...]:
        """(name, default, description) of each option, for lists and docs."""
        fields = self.options.model_fields
        return tuple((name, str(info.get_default()), info.description or "") for name, info in fields.items())

    def parse(self, given: Mapping[str, Any]) -> SourceOptions:
        """Typed options; InputError names the misspelt or impossible one."""
        refuse_unsupported(given.get("kind"))
        for name in given:
            if name not in self.options.model_fields:
                raise unknown_name("option", name, tuple(self.options.model_fields), f"of {self.form}")
        try:
            return self.options.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "options"
            wanted = first["msg"].lower().removeprefix("input should be ")
            raise InputError(
                f"{self.form}: {name}={given.get(name)!r}",
                f"{wanted} ({self.options.model_fields[name].description})",
                f"correct {name}; `galenic tasks` lists the options",
            ) from error


def refuse_unsupported(kind: Any) -> None:
    """Segmentation and regression are refused by name."""
    if isinstance(kind, str) and kind.lower() in UNSUPPORTED_KINDS:
        raise InputError(
            f"a {kind.lower()} task",
            "single-label, multi-label or ordinal: segmentation and regression are not supported yet",
            "turn it into classes (cut the value into grades, or label the whole image)",
        )


def unknown_name(what: str, given: str, known: tuple[str, ...], context: str = "") -> InputError:
    """The error for a misspelt name, with the nearest valid one where there is one."""
    near = get_close_matches(given.lower(), known, n=1, cutoff=0.5)
    todo = f"did you mean {near[0]!r}?" if near else "choose one of these"
    return InputError(f"{what} {given!r} {context}".rstrip(), f"one of {', '.join(known)}", todo)
