"""A card comes back as it went, whatever names and numbers it has; its bytes are canonical."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.record.card import (
    CLASSES,
    PREPROCESSING,
    Card,
    card_json,
    card_of_json,
    card_of_parts,
    card_parts,
    same_preprocessing,
)
from galenic.record.preprocessing import Modality, Preprocessing

TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(2,), scale=0.5, mean=(0.25, -1e-30), std=(1.0, 3.0))
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    classes=st.lists(st.text(), min_size=1, max_size=4),
    mean=st.lists(numbers, min_size=2, max_size=2),
    std=st.lists(st.floats(1e-30, 1e30), min_size=2, max_size=2),
)
@settings(deadline=None)
def test_it_comes_back_from_its_bytes_and_from_its_parts(classes, mean, std) -> None:
    preprocessing = TABLE.model_copy(update={"mean": tuple(mean), "std": tuple(std)})
    card = Card(preprocessing=preprocessing, classes=tuple(classes))
    assert card_of_json(card_json(card)) == card
    assert card_of_parts({key: text.encode() for key, text in card_parts(card).items()}) == card
    assert card_json(card).isascii()
    assert same_preprocessing(card_of_json(card_json(card)).preprocessing, preprocessing)


def test_its_bytes_are_canonical() -> None:
    assert card_json(Card(preprocessing=TABLE, classes=("a", "ä"))) == (
        b'{"classes":["a","\\u00e4"],"preprocessing":{"mean":[0.25,-1e-30],"modality":"table","raw_shape":[2],'
        b'"scale":0.5,"std":[1.0,3.0]}}'
    )


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"classes":["a"]}', b'{"preprocessing":1,"classes":[]}', b"\xff", b"[" * 99999]
)
def test_what_is_no_card_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="Card"):
        card_of_json(text)


def test_parts_of_something_else_are_no_card_and_half_a_card_is_refused() -> None:
    parts = {key: text.encode() for key, text in card_parts(Card(preprocessing=TABLE, classes=("a",))).items()}
    assert card_of_parts({}) is None
    for key in (PREPROCESSING, CLASSES):
        with pytest.raises(ValueError, match="Field required"):
            card_of_parts({key: parts[key]})
    with pytest.raises(ValueError, match="Card"):
        card_of_parts(parts | {CLASSES: b'["a"],"classes":["b"'})
    longer = json.dumps(json.loads(parts[PREPROCESSING]) | {"resize": 1}).encode()
    with pytest.raises(ValueError, match=r"preprocessing\.resize"):
        card_of_parts(parts | {PREPROCESSING: longer})


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"mean": (0.25 * (1 + 1e-9), 0.0)}, True),
        ({"scale": 0.5 + 1e-12}, True),
        ({"mean": (0.2501, -1e-30)}, False),
        ({"std": (1.0, 3.001)}, False),
        ({"raw_shape": (3,), "mean": (0.25, 0.0, 0.0), "std": (1.0, 3.0, 1.0)}, False),
        ({"modality": Modality.SIGNAL, "raw_shape": (5, 2)}, False),
    ],
)
def test_the_last_digits_of_a_number_make_no_other_preprocessing(change: dict, same: bool) -> None:
    assert same_preprocessing(TABLE, TABLE.model_copy(update=change)) is same
