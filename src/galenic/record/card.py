"""Card: what travels inside of a model's file, where its format has a place: the preprocessing, and the names of the answers.

    .onnx       two metadata properties, ``galenic.preprocessing`` and ``galenic.classes``
    .tflite     one metadata buffer, ``galenic``
    .pte        one named blob, ``galenic``
    .ort        two metadata properties, as in .onnx
    .ptl        one extra file, ``galenic``
    .c          one comment, ``card:``
The JSON has sorted keys and no spaces: the same card gives the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from galenic.record.base import Record
from galenic.record.preprocessing import Preprocessing

NAME = "galenic"
"""Of the one entry that holds a card."""
PREPROCESSING, CLASSES = f"{NAME}.preprocessing", f"{NAME}.classes"
"""Of its two parts, where a format has texts by their keys."""
TOLERANCE = 1e-6
"""Relative; numbers of two preprocessings that were computed by other versions of a library may differ in their last digits."""


class Card(Record):
    """What travels inside of a file.

    Attributes:
        preprocessing: what a raw row goes through before it is the file's input.
        classes: the names of the file's outputs, in order.
    """

    preprocessing: Preprocessing
    classes: tuple[str, ...]


def card_json(card: Card) -> bytes:
    """Both parts as one JSON object, ASCII."""
    return _canonical(card.model_dump(mode="json")).encode()


def card_parts(card: Card) -> dict[str, str]:
    """Each part as JSON, by its key."""
    values = card.model_dump(mode="json")
    return {PREPROCESSING: _canonical(values["preprocessing"]), CLASSES: _canonical(values["classes"])}


def card_of_json(text: bytes) -> Card:
    """The card of one JSON object; ValueError where it is none."""
    return Card.model_validate_json(text)


def card_of_parts(parts: Mapping[str, bytes]) -> Card | None:
    """The card of two texts by their keys, None where neither is there; ValueError where they are none."""
    if not {PREPROCESSING, CLASSES} & parts.keys():
        return None
    texts = (b'"%b":%b' % (key.removeprefix(f"{NAME}.").encode(), text) for key, text in parts.items())
    return Card.model_validate_json(b"{%b}" % b",".join(texts))


def same_preprocessing(one: Preprocessing, other: Preprocessing) -> bool:
    """Whether two descriptions are of the same inputs: equal but for the last digits of their numbers."""
    return _alike(one.model_dump(mode="json"), other.model_dump(mode="json"))


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE**2)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
