"""Word pieces: read from a BERT vocab.txt, or learned from texts (Schuster & Nakajima 2012) by ``tokenizers``.

The library numbers the letters in the order in which a hash table happens to yield them, another one in each process, and
breaks ties between equally frequent pairs by these numbers. So all letters are given to it as fixed pieces, sorted: then
equal texts give equal pieces, in any process and with any number of threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from galenic.preprocess.text import INSIDE, LONGEST_WORD, words
from galenic.record.errors import DataError, MissingPackage
from galenic.record.preprocessing import END, PAD, START, UNKNOWN, WordPieces
from galenic.tasks.checks import existing_file

SPECIAL = (PAD, UNKNOWN, START, END, "[MASK]")
LEAST_COUNT = 2
"""A pair of pieces is joined only where it is there at least twice."""


def read_pieces(path: Path, lower_case: bool) -> WordPieces:
    """One piece a line, as in BERT's vocab.txt; the number of a line, from 0, is the token id."""
    try:
        lines = existing_file(path).read_bytes().decode("utf-8").removesuffix("\n").split("\n")
        return WordPieces(vocabulary=tuple(line.removesuffix("\r") for line in lines), lower_case=lower_case)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text ({error})", "a vocab.txt in UTF-8", "copy or download it again") from error
    except ValidationError as error:
        raise DataError(
            f"{path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}",
            f"one piece a line, {PAD} the first, with {UNKNOWN}, {START} and {END}",
            "give the vocab.txt that belongs to a BERT",
        ) from error


def learn_pieces(texts: list[str], size: int, lower_case: bool) -> WordPieces:
    """At most ``size`` pieces: the special ones, every letter, then the most frequent joins."""
    tokenizers = _tokenizers()
    spoken = [[word for word in words(text, lower_case) if len(word) <= LONGEST_WORD] for text in texts]
    letters = sorted({letter for row in spoken for word in row for letter in word})
    fixed = [*SPECIAL, *letters, *(INSIDE + letter for letter in letters)]
    if size < len(fixed):
        raise DataError(
            f"a vocabulary of {size} pieces for texts with {len(letters)} different letters",
            f"at least {len(fixed)}: each letter at a word's beginning and inside, and {len(SPECIAL)} special pieces",
            "raise vocabulary_size, or take damaged texts out",
        )
    model = tokenizers.Tokenizer(tokenizers.models.WordPiece({}, unk_token=UNKNOWN))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=LEAST_COUNT, special_tokens=fixed, show_progress=False
    )
    model.train_from_iterator((" ".join(row) for row in spoken), trainer)
    numbers: dict[str, int] = model.get_vocab()
    return WordPieces(vocabulary=tuple(sorted(numbers, key=numbers.__getitem__)), lower_case=lower_case)


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingPackage(
            "a vocabulary that is to be learned, but the package tokenizers is not installed",
            "tokenizers, or a vocab.txt in the option vocabulary",
            "pip install 'galenic[transformers]'",
        ) from error
    return tokenizers
