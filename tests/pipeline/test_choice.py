"""Which of several files is judged, and what is said about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from galenic.pipeline.choice import choose
from galenic.record.measurement import Ratio
from galenic.record.predictions import Predictions
from galenic.record.profile import Profile
from galenic.record.recipe import Choice
from galenic.record.task import SplitName, TaskKind


def file(name: str, size_bytes: int, right: int) -> Any:
    """A file that tells ``right`` of ten pairs of cases apart."""
    labels = np.arange(20) % 2
    scores = labels * 2.0 - 1
    scores[2 * right :] = 0.0
    predictions = Predictions(
        ids=np.arange(20).astype(str),
        labels=labels,
        logits=np.stack([-scores, scores], axis=1).astype(np.float32),
        split=SplitName.VALIDATION,
        split_hash="v",
        kind=TaskKind.SINGLE_LABEL,
        classes=("no", "yes"),
        positive=(1,),
        made_by=name,
    )
    artifact = SimpleNamespace(size_bytes=size_bytes, stored_bytes=None, precision="int8")
    return SimpleNamespace(id=name, artifact=artifact, validation=predictions, plain=None, speedup=None)


def quantized(name: str, size_bytes: int, plain: Any, high: float) -> Any:
    """A file with the same answers as its float file, and an interval of speeds up to ``high``."""
    found = vars(file(name, size_bytes, 8)) | {
        "plain": plain,
        "speedup": Ratio(value=0.9 * high, low=0.8 * high, high=high, rounds=9),
    }
    return SimpleNamespace(**found)


FAMILY = (file("large", 900, 9), file("middle", 500, 8), file("student", 100, 6))


def limited(size_bytes: int | None) -> Profile:
    return Profile(name="p", summary="s", device="d", size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("choice", "profile", "name", "words"),
    [
        (Choice.STUDENT, limited(10), "student", "what the student became"),
        (Choice.BEST, None, "large", "the highest AUC"),
        (Choice.BEST, limited(None), "large", "the highest AUC"),
        (Choice.BEST, limited(501), "middle", "2 within what the profile allows (under 501 bytes)"),
        (Choice.BEST, limited(500), "student", "1 within what the profile allows (under 500 bytes)"),
        (Choice.BEST, limited(99), "student", "none is what the profile allows (under 99 bytes); it is the smallest"),
    ],
)
def test_the_choice_follows_the_rule_and_says_so(
    choice: Choice, profile: Profile | None, name: str, words: str
) -> None:
    chosen = choose(choice, FAMILY, profile)
    assert chosen.file.id == name
    assert words in chosen.because


def test_of_equals_the_smaller_is_taken_and_one_file_needs_no_rule() -> None:
    assert choose(Choice.BEST, (file("a", 500, 8), file("b", 400, 8)), None).file.id == "b"
    assert choose(Choice.BEST, FAMILY[:1], limited(1)).because == "It is what the recipe's last phase made."


@pytest.mark.parametrize(
    ("choice", "profile", "high", "name"),
    [
        (Choice.BEST, None, 0.99, "float"),
        (Choice.BEST, None, 1.01, "int8"),
        (Choice.BEST, limited(401), 0.99, "float"),
        (Choice.BEST, limited(400), 0.99, "int8"),
        (Choice.STUDENT, None, 0.99, "int8"),
    ],
)
def test_a_quantized_file_that_is_slower_is_chosen_only_for_its_size(
    choice: Choice, profile: Profile | None, high: float, name: str
) -> None:
    plain = file("float", 400, 8)
    chosen = choose(choice, [quantized("int8", 100, plain, high)], profile)
    assert chosen.file.id == name
    assert ("slower here" in chosen.because) == (name == "float")
    of_two = choose(choice, [file("large", 350, 6), quantized("int8", 100, plain, high)], profile)
    assert of_two.file.id == name


def test_a_float_file_is_not_chosen_where_the_profile_asks_for_fewer_bits() -> None:
    plain = file("float", 400, 8)
    plain.artifact.precision = "float32"
    made = [file("large", 350, 6), quantized("w4a8", 100, plain, 0.99)]
    assert choose(Choice.BEST, made, limited(None)).file.id == "float"
    eight = limited(None).model_copy(update={"precisions": ("int8",)})
    chosen = choose(Choice.BEST, made, eight)
    assert chosen.file.id == "w4a8"
    assert "2 within what the profile allows (int8)" in chosen.because


def test_a_c_file_counts_with_what_it_stores_and_not_with_its_text() -> None:
    text = file("net", 6_600_000, 9)
    text.artifact.stored_bytes = 1_500_000
    assert choose(Choice.BEST, (text, file("small", 100, 6)), limited(5_000_000)).file.id == "net"
