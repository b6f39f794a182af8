"""``text:PATH``: texts and their classes in one CSV with a header, UTF-8.

    text, label     the columns of the text and of its class (their names are options)
    split           train, val or test; without such a column rows are held out, stratified by class, by a seed
    id, cluster     which case a row is, and which rows belong together (patient) and so stay on one side

Rows become token ids (n, length) int32, 0 is padding (``preprocess/text.py``). The word pieces come from a BERT vocab.txt,
or are learned from the training texts alone; then they hold words of these texts and travel with the artifact, so where
notes name people, give a public vocab.txt. Texts that are equal in what the model can see of them count as identical rows;
when rows are held out they stay on one side, except where learned pieces cut two of them off at the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from galenic.preprocess.text import Tokenizer, words
from galenic.record.errors import DataError, InputError
from galenic.record.preprocessing import Modality, WordPieces
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.csv_rows import CsvRows, read_csv
from galenic.tasks.labels import default_positive, positive_indices
from galenic.tasks.overlap import row_keys
from galenic.tasks.source import Classes, Names, RawTask, Source, SourceOptions
from galenic.tasks.split import three_ways
from galenic.tasks.vocabulary import learn_pieces, read_pieces

SPLIT_WORDS: Mapping[str, SplitName] = {
    "train": SplitName.TRAIN,
    "val": SplitName.VALIDATION,
    "valid": SplitName.VALIDATION,
    "validation": SplitName.VALIDATION,
    "dev": SplitName.VALIDATION,
    "test": SplitName.TEST,
}
JUDGED = (SplitName.TRAIN, SplitName.VALIDATION, SplitName.TEST)


class TextOptions(SourceOptions):
    """What ``text:PATH`` takes."""

    kind: TaskKind = Field(default=TaskKind.SINGLE_LABEL, description="single-label or ordinal")
    text_column: str = Field(default="text", description="the column of the texts")
    label_column: str = Field(default="label", description="the column of the classes, by name or number")
    split_column: str | None = Field(
        default=None, description="the column of train, val and test (default: split where there is one, else hold out)"
    )
    id_column: str | None = Field(default=None, description="the column of case ids, row numbers where none is named")
    cluster_column: str | None = Field(
        default=None, description="the column that says which rows belong together, such as patient"
    )
    group_columns: Names = Field(default=(), description="columns that are subgroups, such as sex")
    classes: Names = Field(default=(), description="class names in label order (default: those of the file, sorted)")
    positive: Classes | None = Field(
        default=None,
        description="classes that count as disease, by name or index; class 1 where there are two, numbered or listed",
    )
    validation: float = Field(default=0.15, gt=0, lt=0.5, description="share held out where there is no split column")
    test: float = Field(default=0.25, gt=0, lt=0.5, description="share held out where there is no split column")
    length: int = Field(default=128, ge=8, le=512, description="tokens of a row; longer texts are cut off")
    vocabulary: Path | None = Field(
        default=None, description="a BERT vocab.txt, one piece a line (default: learned from the training texts)"
    )
    vocabulary_size: int = Field(default=4096, ge=64, le=100_000, description="how many pieces are learned at most")
    lower_case: bool = Field(default=True, description="drop case and accents first; false for a cased vocabulary")


def load_text(argument: str, options: TextOptions) -> RawTask:
    """Read the file; DataError names it and the line of whatever cannot be used."""
    if options.kind is TaskKind.MULTI_LABEL:
        raise InputError("a multi-label text task", "single-label or ordinal", "make one file for each finding")
    path = Path(argument).expanduser()
    table = read_csv(path)
    columns = (options.id_column, options.cluster_column, options.split_column, *options.group_columns)
    named = [options.text_column, options.label_column, *(column for column in columns if column)]
    table.require(named)
    texts = table.filled(options.text_column)
    classes, labels = read_classes(table, options)
    clusters = table.filled(options.cluster_column) if options.cluster_column else None
    rows_of = sides(table, options, labels, clusters, texts)
    pieces = word_pieces(options, [texts[row] for row in rows_of[SplitName.TRAIN]])
    whole = Split(
        inputs=Tokenizer(pieces, options.length).rows(texts),
        labels=labels,
        ids=case_ids(table, options.id_column),
        groups={name: np.array([value or "unknown" for value in table.column(name)]) for name in options.group_columns},
        clusters=None if clusters is None else np.array(clusters),
    )
    return RawTask(
        name=path.stem,
        where=str(path),
        kind=options.kind,
        classes=classes,
        positive=positive_indices(options.positive, classes, positive_unless_told(options, classes)),
        splits={name: whole.take(rows_of[name]) for name in JUDGED},
        modality=Modality.TEXT,
        scale=1.0,
        cluster_name=options.cluster_column or "cluster",
        text=pieces,
    )


def read_classes(table: CsvRows, options: TextOptions) -> tuple[tuple[str, ...], np.ndarray]:
    """The class names and (n,) int64 labels; names that are all whole numbers are sorted as numbers."""
    names = table.filled(options.label_column)
    classes = options.classes or tuple(sorted(set(names), key=lambda n: (int(n), "") if _is_number(n) else (0, n)))
    index = {name: number for number, name in enumerate(classes)}
    for row, name in enumerate(names):
        if name not in index:
            raise DataError(
                f"{table.place(row)}: the label {name!r}",
                f"one of the classes {', '.join(classes)}",
                "correct the label, or add it to the option classes",
            )
    return classes, np.array([index[name] for name in names], dtype=np.int64)


def positive_unless_told(options: TextOptions, classes: tuple[str, ...]) -> tuple[int, ...]:
    """As for other sources; but which of two names comes first in the alphabet does not say which is disease."""
    in_order = options.classes or all(_is_number(name) for name in classes)
    return default_positive(options.kind, classes) if in_order else ()


def sides(
    table: CsvRows, options: TextOptions, labels: np.ndarray, clusters: list[str] | None, texts: list[str]
) -> dict[SplitName, np.ndarray]:
    """Split name -> row numbers: by the split column, or held out."""
    column = options.split_column or ("split" if "split" in table.header else None)
    if column is None:
        together = clusters if clusters is not None else seen_of(texts, options)
        if options.validation + options.test >= 1:
            raise InputError("validation + test of 1 or more", "some rows left to train on", "lower one of them")
        parts = three_ways(labels, np.array(together), options.validation, options.test, options.seed)
        return dict(zip(JUDGED, parts, strict=True))
    names = []
    for row, value in enumerate(table.column(column)):
        if value.lower() not in SPLIT_WORDS:
            raise DataError(
                f"{table.place(row)}: the split {value!r}", f"one of {', '.join(SPLIT_WORDS)}", "correct it"
            )
        names.append(SPLIT_WORDS[value.lower()])
    found = {name: np.array([row for row, own in enumerate(names) if own is name], dtype=np.int64) for name in JUDGED}
    for name, rows in found.items():
        if len(rows) == 0:
            raise DataError(
                f"{table.path}, split {name.value}: 0 rows in the column {column}",
                "rows of train, val and test",
                "mark some, or leave the column out so that rows are held out",
            )
    return found


def seen_of(texts: list[str], options: TextOptions) -> list[str]:
    """What a model can see of each text, as a key: its ids, or where pieces are yet to be learned as many words as fit."""
    if options.vocabulary is not None:
        pieces = read_pieces(options.vocabulary.expanduser(), options.lower_case)
        return list(row_keys(Tokenizer(pieces, options.length).rows(texts)))
    return [" ".join(list(words(text, options.lower_case))[: options.length - 2]) for text in texts]


def word_pieces(options: TextOptions, train_texts: list[str]) -> WordPieces:
    """The pieces of the vocabulary file, or those learned from the training texts."""
    if options.vocabulary is not None:
        return read_pieces(options.vocabulary.expanduser(), options.lower_case)
    return learn_pieces(train_texts, options.vocabulary_size, options.lower_case)


def case_ids(table: CsvRows, column: str | None) -> np.ndarray:
    """(n,) str of the id column, or the file's row numbers."""
    if column is not None:
        return np.array(table.filled(column))
    return np.array([f"row-{row:06d}" for row in range(len(table))])


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


TEXT = Source("text", "PATH", "texts and their classes in one CSV, as token ids for BERT", TextOptions, load_text)
