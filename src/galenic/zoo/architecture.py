"""What a family of models says about each of its members: a name, for what kind of data, and how it is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from galenic.record.preprocessing import Modality

SMALL_SIDE_PX = 40
"""Images up to this side keep their resolution in the stem; on larger ones the stem is the usual, shrinking one."""


@dataclass(frozen=True)
class Architecture:
    """One net of the zoo.

    Attributes:
        name: as it is asked for.
        modality: of the data that it takes, None for any.
        build: ``build(input_shape, outputs, *, options...)``; the keyword-only parameters are the options.
        summary: one line for ``galenic models``.
        renames: (pattern, replacement) pairs that turn the keys of a published checkpoint of this net into ours.
    """

    name: str
    modality: Modality | None
    build: Callable[..., nn.Module]
    summary: str
    renames: tuple[tuple[str, str], ...] = ()

    @property
    def options(self) -> tuple[str, ...] | None:
        """The names of the options, or None where any keyword is passed on."""
        named = inspect.signature(self.build).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in named):
            return None
        return tuple(parameter.name for parameter in named if parameter.kind is parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Adapter:
    """A door to nets that are not of the zoo: ``PREFIX:rest``.

    Attributes:
        prefix: what stands before the first colon.
        modality: of the data that such nets take, None for any.
        build: ``build(rest, input_shape, outputs, **options)``; it checks the output's shape itself.
        summary: one line for ``galenic models``, with the form of ``rest``.
        form: how such a name is written.
    """

    prefix: str
    modality: Modality | None
    build: Callable[..., nn.Module]
    summary: str
    form: str


def keeps_resolution(input_shape: tuple[int, ...]) -> bool:
    """Whether an image (channel, height, width) is so small that the stem must not shrink it."""
    return min(input_shape[1:]) <= SMALL_SIDE_PX
