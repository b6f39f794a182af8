"""WordPiece as BERT has it (Devlin et al. 2019, arXiv:1810.04805; Wu et al. 2016, arXiv:1609.08144).

    text   clean (no control characters, every white space a blank), optionally no accents and lower case
    words  split at blanks; every punctuation mark and every Chinese character is a word of its own
    pieces the longest piece of the vocabulary that the word begins with, then the longest ``##`` piece of the rest ...;
           a word that cannot be cut so is [UNK] as a whole
    row    [CLS] pieces [SEP] 0 0 0 ...     a longer text is cut off in front of [SEP]

One implementation in plain Python for training and devices: a device needs no library for it. Special pieces that a text
spells out, such as "[SEP]", are words like others, so a text cannot place them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from galenic.record.errors import DataError
from galenic.record.preprocessing import END, START, UNKNOWN, WordPieces

INSIDE = "##"
LONGEST_WORD = 100  # characters; a longer word is [UNK], as in BERT
LEAST_LENGTH = 3  # [CLS], one piece, [SEP]

CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class Tokenizer:
    """Texts to rows of token ids; words that were seen before are looked up."""

    def __init__(self, spec: WordPieces, length: int) -> None:
        if length < LEAST_LENGTH:
            raise DataError(f"rows of {length} tokens", f"at least {LEAST_LENGTH}", "set length to 16 or more")
        self._lower_case, self._length = spec.lower_case, length
        self._ids = {piece: number for number, piece in enumerate(spec.vocabulary)}
        self._seen: dict[str, tuple[int, ...]] = {}

    def rows(self, texts: Sequence[str]) -> np.ndarray:
        """(n, length) int32 token ids, filled up with 0."""
        rows = np.zeros((len(texts), self._length), dtype=np.int32)
        for row, text in enumerate(texts):
            ids = self.ids(text)
            rows[row, : len(ids)] = ids
        return rows

    def ids(self, text: str) -> list[int]:
        """The token ids of one text, [CLS] and [SEP] included, at most ``length`` of them."""
        room = self._length - 2
        ids: list[int] = []
        for word in words(text, self._lower_case):
            if len(ids) >= room:
                break
            if word not in self._seen:
                self._seen[word] = self._pieces(word)
            ids += self._seen[word]
        return [self._ids[START], *ids[:room], self._ids[END]]

    def _pieces(self, word: str) -> tuple[int, ...]:
        ids: list[int] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            end = len(word)
            while end > start and (INSIDE * (start > 0) + word[start:end]) not in self._ids:
                end -= 1
            if end == start:
                return (self._ids[UNKNOWN],)
            ids.append(self._ids[INSIDE * (start > 0) + word[start:end]])
            start = end
        return tuple(ids) or (self._ids[UNKNOWN],)


def words(text: str, lower_case: bool) -> Iterator[str]:
    """The words of a text, in order."""
    for blank_free in clean(text, lower_case).split(" "):
        word = ""
        for character in blank_free:
            if is_punctuation(character):
                if word:
                    yield word
                yield character
                word = ""
            else:
                word += character
        if word:
            yield word


def clean(text: str, lower_case: bool) -> str:
    """The text without control characters, with plain blanks, and blanks around Chinese characters."""
    kept = (c for c in text if c != "\ufffd" and (c in "\t\n\r" or not unicodedata.category(c).startswith("C")))
    plain = "".join(" " if c.isspace() else f" {c} " if is_chinese(c) else c for c in kept)
    if not lower_case:
        return plain
    apart = unicodedata.normalize("NFD", plain)
    # character by character: the whole string's lower() would write a final sigma differently
    return "".join(c.lower() for c in apart if unicodedata.category(c) != "Mn")


def is_punctuation(character: str) -> bool:
    """Every mark of ASCII that is neither letter nor digit (``+`` and ``$`` too), and what Unicode calls punctuation."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")


def is_chinese(character: str) -> bool:
    """Whether it is a CJK ideograph, which is a word of its own."""
    return any(first <= ord(character) <= last for first, last in CHINESE)
