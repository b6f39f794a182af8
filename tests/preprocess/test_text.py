"""WordPiece by hand, and against the library ``tokenizers`` on any text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.preprocess.text import Tokenizer, words
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##a", "##b", "##c", "ab", "##bc", ".", "é", "心", "##é")
SPEC = WordPieces(vocabulary=PIECES)


def test_by_hand() -> None:
    rows = Tokenizer(SPEC, 8).rows(["AB abc. x", "", "Á\ta心b", "a b c a b c a b"])
    assert rows.dtype == np.int32
    assert rows.tolist() == [
        [2, 10, 10, 9, 12, 1, 3, 0],  # ab, ab ##c, ., [UNK]
        [2, 3, 0, 0, 0, 0, 0, 0],
        [2, 4, 4, 14, 5, 3, 0, 0],
        [2, 4, 5, 6, 4, 5, 6, 3],  # cut off in front of [SEP]
    ]


def test_a_cased_vocabulary_keeps_case_and_accents() -> None:
    assert list(words("É a", lower_case=False)) == ["É", "a"]
    assert list(words("É a", lower_case=True)) == ["e", "a"]


def test_a_text_cannot_place_special_pieces() -> None:
    assert Tokenizer(SPEC, 9).ids("[SEP]") == [2, 1, 1, 1, 3]


def test_words_of_more_than_100_letters_are_unknown() -> None:
    assert Tokenizer(SPEC, 8).ids("a" * 101) == [2, 1, 3]
    assert len(Tokenizer(SPEC, 200).ids("a" * 100)) == 102


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("abcABCÁéÉß.,-+[]'\t\n\r\0\u200d\ufffd\u00a0\u2028心 İς"), max_size=60), st.booleans())
def test_it_is_what_the_library_does(text: str, lower_case: bool) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    oracle = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({piece: number for number, piece in enumerate(PIECES)}, unk_token="[UNK]")
    )
    oracle.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower_case)
    oracle.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    spec = WordPieces(vocabulary=PIECES, lower_case=lower_case)
    assert Tokenizer(spec, 200).ids(text)[1:-1] == oracle.encode(text).ids


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        (("[PAD]", "[UNK]", "[CLS]"), r"no \[SEP\]"),
        (("[UNK]", "[PAD]", "[CLS]", "[SEP]"), "first piece"),
        (("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "a"), "twice"),
    ],
)
def test_a_vocabulary_that_cannot_be_used(pieces: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        WordPieces(vocabulary=pieces)


def text_preprocessing(length: int = 4) -> Preprocessing:
    return Preprocessing(modality=Modality.TEXT, raw_shape=(length,), scale=1.0, mean=(), std=(), text=SPEC)


def test_ids_become_int64_inputs() -> None:
    spec = text_preprocessing()
    inputs = to_inputs(spec, np.array([[2, 4, 3, 0]], dtype=np.int32))
    assert (inputs.dtype, inputs.tolist()) == (np.int64, [[2, 4, 3, 0]])
    assert (spec.input_shape, spec.input_type) == ((4,), np.dtype(np.int64))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (np.array([[2, 4, 3, 0], [2, 16, 3, 0]]), "row 1 has a token id outside 0 to 15"),
        (np.array([[2, -1, 3, 0]]), "row 0"),
        (np.array([[2.0, 4.0, 3.0, 0.0]]), "whole token ids"),
        (np.array([[2, 4, 3]]), r"\(n, 4\)"),
    ],
)
def test_rows_that_are_no_ids_of_the_vocabulary(raw: np.ndarray, told: str) -> None:
    with pytest.raises(DataError, match=told):
        to_inputs(text_preprocessing(), raw)


def test_the_json_form_of_other_preprocessing_says_nothing_of_text() -> None:
    image = Preprocessing(modality=Modality.IMAGE, raw_shape=(2, 2, 1), scale=1.0, mean=(0.0,), std=(1.0,))
    assert set(image.model_dump(mode="json")) == {"modality", "raw_shape", "scale", "mean", "std"}
    # as it was before text existed: stages are named by it
    assert image.digest() == "f41772c1c3b4fe0cc9c408b2212e04a7c79ad5c441dee55bb6f24fe30439799c"
    text = text_preprocessing()
    assert Preprocessing.model_validate_json(text.model_dump_json()) == text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"text": None}, "need word pieces"),
        ({"modality": Modality.TABLE, "mean": (0.0,) * 4, "std": (1.0,) * 4}, "no other rows"),
        ({"mean": (0.0,)}, "0 values"),
        ({"scale": 2.0}, "not scaled"),
        ({"raw_shape": (2, 2)}, "1 dimensions"),
    ],
)
def test_an_inconsistent_record(changed: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Preprocessing(**{**dict(text_preprocessing()), **changed})
