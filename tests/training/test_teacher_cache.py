"""The teacher answers each view of a row once, also across restarts, other processes and damage to the file."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import make_task
from galenic.record.errors import ModelError, StoreError
from galenic.record.training import Flips
from galenic.training.augment import Views
from galenic.training.loop import TrainingData
from galenic.training.objective import Batch
from galenic.training.teacher_cache import BLOCK_ROWS, CacheKey, TeacherCache

ROWS = 300
"""Three blocks: 128, 128 and 44 rows."""


def data_of(rows: int = ROWS) -> TrainingData:
    task = make_task(rows)
    views = Views(task.preprocessing.modality, rows, 0, 2, True, Flips.NONE)
    return TrainingData(task.train, task.preprocessing, task.kind, views)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return data_of()


def key(data: TrainingData, teacher: str = "t") -> CacheKey:
    return CacheKey(teacher=teacher, answers="logits", data="d", views="v", shape=(2, len(data.split), 2), threads=1)


def batch(rows: list[int], view: int) -> Batch:
    return Batch(torch.zeros(len(rows), 1), torch.zeros(len(rows)), np.array(rows), view)


def sums(inputs: np.ndarray) -> np.ndarray:
    return np.stack([inputs.sum(axis=(1, 2, 3)), inputs.max(axis=(1, 2, 3))], axis=1)


def refuses(inputs: np.ndarray) -> np.ndarray:
    raise AssertionError("asked again")


class Heard:
    """A progress sink that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int, int, str]] = []

    def __call__(self, work: str, done: int, total: int, note: str = "") -> None:
        self.said.append((work, done, total, note))


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("answers-*.blocks")
    return path


def everything(cache: TeacherCache, data: TrainingData, view: int) -> torch.Tensor:
    return cache.answers(batch(list(range(len(data.split))), view))


def test_the_teacher_is_asked_once_per_row_and_view(data: TrainingData, tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path, key(data), data, sums)
    rows = np.array([0, 3])
    expected = sums(data.inputs(1, rows).numpy())
    assert cache.answers(batch([0, 3], 1)).numpy() == pytest.approx(expected)
    assert cache.asked == len(data.split), "a view is asked as a whole, in blocks"
    cache.answers(batch([5, 0], 1))
    assert cache.asked == len(data.split)
    cache.answers(batch([0], 0))
    assert cache.asked == 2 * len(data.split)


def test_blocks_are_the_same_whoever_asks_first(data: TrainingData, tmp_path: Path) -> None:
    sizes: list[int] = []

    def predict(inputs: np.ndarray) -> np.ndarray:
        sizes.append(len(inputs))
        return sums(inputs)

    one = TeacherCache(tmp_path / "a", key(data), data, predict)
    other = TeacherCache(tmp_path / "b", key(data), data, predict)
    one.answers(batch([299], 0))
    other.answers(batch([7, 130], 0))
    assert sizes == [128, 128, 44] * 2
    assert the_file(tmp_path / "a").read_bytes() == the_file(tmp_path / "b").read_bytes()


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_the_cache_survives_a_restart_mapped_or_in_memory(data: TrainingData, tmp_path: Path, limit: int) -> None:
    first = TeacherCache(tmp_path, key(data), data, sums, memory_limit=limit)
    said = first.answers(batch([1, 299, 1], 0))
    again = TeacherCache(tmp_path, key(data), data, refuses, memory_limit=limit)
    assert torch.equal(again.answers(batch([1, 299, 1], 0)), said)
    assert again.mapped is (limit == 0)
    assert again.size_bytes == 2 * ROWS * 2 * 4
    assert again.repairs == []


def test_filling_is_visible(data: TrainingData, tmp_path: Path) -> None:
    heard = Heard()
    cache = TeacherCache(tmp_path, key(data), data, sums, heard)
    cache.answers(batch([0], 1))
    cache.answers(batch([1], 1))
    assert heard.said == [("logits of teacher t, view 2/2", done, 3, "") for done in range(4)]


def test_another_teacher_has_another_file(data: TrainingData, tmp_path: Path) -> None:
    TeacherCache(tmp_path, key(data), data, sums).answers(batch([0], 0))
    other = TeacherCache(tmp_path, key(data, "other"), data, lambda inputs: -sums(inputs))
    assert other.answers(batch([0], 0))[0, 1] < 0
    assert len(list(tmp_path.glob("*.blocks"))) == 2


def test_a_stale_file_under_this_name_is_made_again_and_said(data: TrainingData, tmp_path: Path) -> None:
    TeacherCache(tmp_path / "old", key(data, "old"), data, lambda inputs: -sums(inputs)).answers(batch([0], 0))
    heard = Heard()
    cache = TeacherCache(tmp_path, key(data), data, sums, heard)
    the_file(tmp_path / "old").rename(tmp_path / f"answers-{key(data).digest()[:16]}.blocks")
    assert everything(cache, data, 0).numpy() == pytest.approx(sums(data.inputs(0, np.arange(ROWS)).numpy()))
    assert cache.asked == ROWS
    assert "it held another array" in cache.repairs[0]
    assert "made again: it held another array" in heard.said[-1][3]


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_a_flipped_bit_costs_one_block(data: TrainingData, tmp_path: Path, limit: int) -> None:
    first = everything(TeacherCache(tmp_path, key(data), data, sums), data, 0)
    path = the_file(tmp_path)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[4096 + 8 * 200] ^= 4  # row 200 of view 0: the second block
    path.write_bytes(damaged)
    heard = Heard()
    cache = TeacherCache(tmp_path, key(data), data, sums, heard, memory_limit=limit)
    assert torch.equal(everything(cache, data, 0), first)
    assert cache.asked == 128
    assert cache.repairs == [f"{path.name}: 1 blocks of view 1 did not match their checksums"]
    assert heard.said[-1] == (*heard.said[-1][:3], "made again: 1 blocks of view 1 did not match their checksums")
    assert path.read_bytes() == whole


@pytest.mark.parametrize(("length", "asked"), [(0, ROWS), (50, ROWS), (4096 + 8 * 128, 172), (4096 + 8 * 290, 44)])
def test_a_file_cut_short_is_filled_up(data: TrainingData, tmp_path: Path, length: int, asked: int) -> None:
    first = everything(TeacherCache(tmp_path, key(data), data, sums), data, 0)
    path = the_file(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    cache = TeacherCache(tmp_path, key(data), data, sums)
    assert torch.equal(everything(cache, data, 0), first)
    assert cache.asked == asked
    assert "it was cut short" in cache.repairs[0]


def test_a_file_deleted_meanwhile_is_no_fault(data: TrainingData, tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path, key(data), data, sums)
    cache.answers(batch([0], 0))
    the_file(tmp_path).unlink()
    cache.answers(batch([0], 0))
    cache.answers(batch([0], 1))
    assert cache.asked == 2 * ROWS


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (1e39, "infinity")])
def test_a_teacher_that_is_not_finite_is_refused_by_case_and_view(
    data: TrainingData, tmp_path: Path, value: float, word: str
) -> None:
    def predict(inputs: np.ndarray) -> np.ndarray:
        said = sums(inputs).astype(np.float64)
        if len(inputs) == 44:
            said[[2, 5], 1] = value
        return said

    with pytest.raises(ModelError) as caught:
        TeacherCache(tmp_path, key(data), data, predict).answers(batch([0], 1))
    assert "case train-258 on (row 258, view 1)" in caught.value.given
    assert f"{word} (2 such rows" in caught.value.given
    mended = TeacherCache(tmp_path, key(data), data, sums)
    assert torch.isfinite(everything(mended, data, 1)).all()
    assert mended.asked == 44, "the sound blocks were kept, nothing of the other"
    assert mended.repairs == []


def test_answers_of_another_shape_are_refused(data: TrainingData, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"case train-0 on \(row 0, view 0\) are shape \(128, 1\).*expected \(128, 2\)"
    ):
        TeacherCache(tmp_path, key(data), data, lambda inputs: sums(inputs)[:, :1]).answers(batch([0], 0))


def test_a_full_disk_loses_nothing_valid(full_disk: Path) -> None:
    data = data_of(1024)
    wide = key(data).model_copy(update={"shape": (2, 1024, 256)})  # 1 MB a view, on a disk of 1 MB

    def predict(inputs: np.ndarray) -> np.ndarray:
        return np.repeat(sums(inputs), 128, axis=1)

    (full_disk / "other").write_bytes(bytes(300_000))
    full = TeacherCache(full_disk, wide, data, predict)
    with pytest.raises(StoreError, match="free some space"):
        full.answers(batch([0], 0))
    assert full.asked >= 2 * BLOCK_ROWS
    (full_disk / "other").unlink()
    free = TeacherCache(full_disk, wide.model_copy(), data, predict)
    with pytest.raises(StoreError):
        free.answers(batch([0], 0))
    assert 0 < free.asked < 1024 - full.asked + 2 * BLOCK_ROWS, "what had been kept was not asked for again"
    assert free.repairs == []


CHILD = """
import hashlib, os, sys, time
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[3:5]
from test_teacher_cache import batch, data_of, everything, key, sums
from galenic.training.teacher_cache import TeacherCache
folder, log = Path(sys.argv[1]), Path(sys.argv[2])

def predict(inputs):
    with log.open("a") as file:
        file.write(f"{os.getpid()} {len(inputs)}\\n")
    time.sleep(0.1)
    while log.with_name("hold").exists() and len(log.read_text().splitlines()) == 5:
        time.sleep(0.01)
    return sums(inputs)

def show(work, done, total, note=""):
    print(note, flush=True)

data = data_of()
cache = TeacherCache(folder, key(data), data, predict, show)
print("ready", flush=True)
for line in sys.stdin:
    view, before = int(line), cache.asked
    print(hashlib.sha256(everything(cache, data, view).numpy().tobytes()).hexdigest(), cache.asked - before, flush=True)
"""


class Child:
    """A process with a cache of the same key; its teacher writes a log, and hangs at the fifth block while ``hold`` is there."""

    def __init__(self, folder: Path) -> None:
        here = Path(__file__).parent
        argv = [sys.executable, "-c", CHILD, str(folder / "answers"), str(folder / "log"), str(here), str(here.parent)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def fill(self, view: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{view}\n")
        self.process.stdin.flush()

    def result(self) -> tuple[str, int]:
        """The hash of a view's answers, and how many rows this process asked for."""
        while len(words := self.line().split()) != 2 or len(words[0]) != 64:
            pass
        return words[0], int(words[1])


def asked_by(folder: Path) -> list[tuple[int, int]]:
    """(process, rows) of every question so far, in order."""
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(process), int(rows)) for process, rows in (line.split() for line in lines)]


def test_two_processes_share_one_fill_and_one_survives_the_kill_of_the_other(
    data: TrainingData, tmp_path: Path
) -> None:
    first, second = Child(tmp_path), Child(tmp_path)
    with first.process, second.process:
        assert [first.line(), second.line()] == ["ready", "ready"]
        first.fill(0)
        second.fill(0)
        (one, one_asked), (other, other_asked) = first.result(), second.result()
        assert one == other
        assert sorted([one_asked, other_asked]) == [0, 300]
        assert [rows for _, rows in asked_by(tmp_path)] == [128, 128, 44]

        (tmp_path / "hold").touch()
        first.fill(1)
        while len(asked_by(tmp_path)) < 5:
            time.sleep(0.01)
        second.fill(1)
        while second.line() != "waiting for another run, which asks it":
            pass
        os.kill(first.process.pid, signal.SIGKILL)
        (tmp_path / "hold").unlink()
        said, rows_asked = second.result()
        assert first.process.wait() == -signal.SIGKILL
        assert rows_asked == 172, "the first block had been kept, the second was asked for again"
        assert asked_by(tmp_path)[5:] == [(second.process.pid, 128), (second.process.pid, 44)]
        second.process.communicate()
    restarted = TeacherCache(tmp_path / "answers", key(data), data, refuses)
    alone = TeacherCache(tmp_path / "alone", key(data), data, sums)
    assert torch.equal(everything(restarted, data, 1), everything(alone, data, 1))
    assert hashlib.sha256(everything(alone, data, 1).numpy().tobytes()).hexdigest() == said
    assert restarted.repairs == []
