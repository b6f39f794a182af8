"""``text:PATH``: rows, splits, vocabularies; and every fault of a CSV by file and line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from galenic.record.errors import DataError, InputError, MissingPackage
from galenic.record.preprocessing import Modality
from galenic.tasks import load_task

WORDS = ("pain", "fever", "cough", "mild", "patient", "denies", "reports", "chest", "history", "of")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "severe", "stable", ".", "##s")


def notes(rows: int = 60) -> list[str]:
    """Lines of a CSV: id, text, label, patient, sex; the label follows from one word."""
    random = np.random.default_rng(0)
    lines = ["id,text,label,patient,sex"]
    for row in range(rows):
        said = " ".join(random.choice(WORDS, 5))
        word, label = ("Severe", "ill") if row % 2 else ("stable", "well")
        lines.append(f'n{row},"{said}, {word}.",{label},p{row // 2},{"fm"[row % 3 == 0]}')
    return lines


@pytest.fixture
def written(tmp_path: Path):
    def to_file(lines: list[str], name: str = "notes.csv") -> str:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"text:{path}"

    return to_file


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return path


def test_rows_become_token_ids(written, vocabulary: Path) -> None:
    lines = [*notes(), 'last,"Severe pains.\nNo more",ill,p99,f']
    task = load_task(written(lines), length=10, vocabulary=vocabulary, id_column="id", group_columns="sex")
    assert (task.preprocessing.modality, task.preprocessing.raw_shape) == (Modality.TEXT, (10,))
    assert task.preprocessing.text is not None
    assert task.preprocessing.text.vocabulary == VOCABULARY
    assert (task.classes, task.positive) == (("ill", "well"), ())
    assert sum(len(task.splits[name]) for name in ("train", "validation", "test")) == 61
    row = {str(i): r for split in task.splits.values() for i, r in zip(split.ids, split.inputs, strict=True)}["last"]
    assert row.tolist() == [2, VOCABULARY.index("severe"), 4, 17, VOCABULARY.index("."), 1, 1, 3, 0, 0]
    assert row.dtype == np.int32
    assert set(task.test.groups["sex"]) == {"f", "m"}


def test_held_out_rows_are_stratified_and_keep_patients_together(written, vocabulary: Path) -> None:
    source = written(notes())
    task = load_task(source, vocabulary=vocabulary, length=16, test=0.3, validation=0.2)
    assert [len(task.splits[name]) for name in ("train", "validation", "test")] == pytest.approx([30, 12, 18], abs=2)
    assert abs(task.test.labels.mean() - 0.5) < 0.15
    assert (
        load_task(source, vocabulary=vocabulary, length=16, test=0.3, validation=0.2).content_hash == task.content_hash
    )
    other = load_task(source, vocabulary=vocabulary, length=16, test=0.3, validation=0.2, seed=1)
    assert other.content_hash != task.content_hash
    clustered = load_task(source, vocabulary=vocabulary, length=16, cluster_column="patient")
    sides = [set(clustered.splits[name].clusters) for name in ("train", "validation", "test")]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 30


def test_texts_that_a_model_sees_as_equal_stay_on_one_side(written, vocabulary: Path) -> None:
    lines = ["text,label", *(f"{WORDS[row % 10]} {WORDS[row // 10]},{row % 2}" for row in range(60))]
    lines += [line.replace("pain", "PAIN ") for line in lines[1:]]
    task = load_task(written(lines), vocabulary=vocabulary, length=8)
    assert task.overlap.total == 0
    assert (task.classes, task.positive) == (("0", "1"), (1,))


def test_a_split_column(written, vocabulary: Path) -> None:
    lines = [
        f"{line},{'split' if row == 0 else ('Train', 'val', 'test')[row // 2 % 3]}" for row, line in enumerate(notes())
    ]
    task = load_task(written(lines), vocabulary=vocabulary, length=16, classes="well,ill")
    assert [len(task.splits[name]) for name in ("train", "validation", "test")] == [20, 20, 20]
    assert (task.classes, task.positive) == (("well", "ill"), (1,))


def test_numbers_are_sorted_as_numbers(written, vocabulary: Path) -> None:
    lines = [
        "text,label",
        *(f"{' '.join(np.random.default_rng(row).choice(WORDS, 6))},{row % 11}" for row in range(220)),
    ]
    task = load_task(written(lines), vocabulary=vocabulary, length=16, kind="ordinal")
    assert task.classes == tuple(str(grade) for grade in range(11))


LEARNED = """
import sys
from galenic.tasks import load_task
task = load_task(sys.argv[1], length=16, vocabulary_size=90)
print(task.content_hash, *task.preprocessing.text.vocabulary, sep="|")
"""


def test_pieces_are_learned_from_the_training_texts_alone_and_the_same_in_every_process(written) -> None:
    pytest.importorskip("tokenizers")
    lines = [
        f"{line},{'split' if row == 0 else ('train', 'val', 'test')[row // 2 % 3]}" for row, line in enumerate(notes())
    ]
    marked = [line.replace("pain", "xqz") if line.endswith("test") else line for line in lines]
    source = written(marked)
    told = {
        subprocess.run([sys.executable, "-c", LEARNED, source], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(told) == 1
    pieces = told.pop().strip().split("|")[1:]
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert {"severe", "stable"} <= set(pieces)
    assert "q" not in pieces
    assert len(pieces) == 90


def test_a_library_is_needed_only_to_learn_pieces(written, vocabulary: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    source = written(notes())
    load_task(source, vocabulary=vocabulary)
    with pytest.raises(MissingPackage, match=r"galenic\[transformers\]"):
        load_task(source)


HEAD, ROW = "text,label", "pain,ill"


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (b"", {}, "is empty"),
        (b"text,label\n", {}, "a header and no rows"),
        (b"note,label\npain,ill\n", {}, "column 'text' in"),
        (b"text,lable\npain,ill\n", {}, "did you mean 'lable'?"),
        (b"text,text,label\npain,pain,ill\n", {}, "line 1: the column 'text' stands twice"),
        (b"text,label\npain,ill\ncough, mild,well\n", {}, "line 3: 3 cells"),
        (b"text,label\npain,ill\n\n  ,well\n", {}, "line 4: nothing in the column text"),
        (b"text,label\npain,\n", {}, "line 2: nothing in the column label"),
        (b"text,label\npain,ill\nschmerz \xe4,well\n", {}, "line 3: byte 0xe4 is not UTF-8"),
        (b'text,label\npain,ill\n"cough,well\n', {}, "line 3: not a CSV"),
        (b"text,label\npain,ill\ncough,wel\n", {"classes": "well,ill"}, "line 3: the label 'wel'"),
        (b"text,label,split\npain,ill,train\ncough,well,tset\n", {}, "line 3: the split 'tset'"),
        (b"text,label,split\npain,ill,train\ncough,well,val\n", {}, "split test: 0 rows"),
        (b"text,label\npain,ill\n", {"id_column": "ids"}, "column 'ids'"),
    ],
)
def test_a_bad_file_is_told_by_its_name_and_line(tmp_path, vocabulary, content: bytes, options, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_task(f"text:{path}", vocabulary=vocabulary, **options)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_ids_that_stand_twice_and_texts_on_two_sides(written, vocabulary: Path) -> None:
    lines = [
        f"{line},{'split' if row == 0 else ('train', 'val', 'test')[row // 2 % 3]}" for row, line in enumerate(notes())
    ]
    again = [*lines, lines[5].replace("n4,", "n99,").replace(",test", ",train")]
    with pytest.raises(DataError, match="two sides of a split"):
        load_task(written(again), vocabulary=vocabulary, length=16)
    dropped = load_task(written(again), vocabulary=vocabulary, length=16, overlap="drop-train")
    assert dropped.overlap.dropped == 1
    with pytest.raises(DataError, match="id n3 stands at"):
        load_task(written([*lines, lines[4].replace("ever", "ough")]), vocabulary=vocabulary, id_column="id")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"a\nb\n", "no [PAD]"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\na\n", "twice"),
        (b"[PAD]\n\xff\n", "not a text"),
    ],
)
def test_a_bad_vocabulary_is_told(written, tmp_path, content: bytes, told: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_task(written(notes()), vocabulary=path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_options_that_cannot_be_met(written, vocabulary: Path) -> None:
    with pytest.raises(InputError, match="a multi-label text task"):
        load_task(written(notes()), vocabulary=vocabulary, kind="multi-label")
    pytest.importorskip("tokenizers")
    many = ["text,label", *(f"{chr(0x4E00 + row)},{row % 2}" for row in range(100))]
    with pytest.raises(DataError, match="different letters"):
        load_task(written(many), vocabulary_size=64)
