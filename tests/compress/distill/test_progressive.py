"""A chain of assistants is a chain of distillations, kept whole, resumed where it was, and resolved for good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.compress.distill.progressive import Assistant, Progressive, settled, torch_teacher
from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench, Teacher
from galenic.pipeline.recipes import validated
from galenic.record.errors import ModelError, RecipeError
from galenic.record.training import MemoryFormat, Precision, TrainingConfig
from galenic.zoo.build import build
from galenic.zoo.model import Model, weights_hash

SHAPE = (1, 12, 12)
CONFIG = TrainingConfig(
    epochs=3, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)
CHAIN = Progressive(
    assistants=(
        Assistant(model="mlp", options={"hidden": [24]}),
        Assistant(model="mlp", options={"hidden": [12]}, training=CONFIG.model_copy(update={"epochs": 2})),
    ),
    soft_target=SoftTarget(temperature=2.0, alpha=1.0),
)


def halves(inputs: np.ndarray) -> np.ndarray:
    difference = inputs[:, 0, :, :6].mean(axis=(1, 2)) - inputs[:, 0, :, 6:].mean(axis=(1, 2))
    return np.stack([-8 * (difference - 0.6), 8 * (difference - 0.6)], axis=1).astype(np.float32)


TEACHER = Teacher("rule", "0" * 64, ("class 0", "class 1"), halves)


def student() -> Model:
    return build("mlp", SHAPE, 2, options={"hidden": [6]})


def test_each_learns_from_the_one_before_and_all_are_results(task, tmp_path: Path) -> None:
    bench = Bench(task, 0, tmp_path / "chain", CONFIG, (TEACHER,))
    made = CHAIN.apply(student(), bench)
    assert [model.lineage for model in made] == [("mlp", "assistant_1"), ("mlp", "assistant_2"), ("mlp", "progressive")]
    assert [model.spec.options.get("hidden") for model in made] == [[24], [12], [6]]
    teacher, expected = TEACHER, list[Model]()
    for number, start in enumerate([a.built(task, 0) for a in CHAIN.assistants] + [student()]):
        training = CHAIN.assistants[number].training if number < 2 else None
        one = replace(bench, folder=tmp_path / str(number), training=training or CONFIG, teachers=(teacher,))
        expected += CHAIN.soft_target.apply(start, one)
        teacher = torch_teacher(expected[-1], "the one before", task)
    assert [weights_hash(model) for model in made] == [weights_hash(model) for model in expected]


class Killed(Exception):
    """Stands for a kill."""


def test_a_killed_chain_goes_on_where_it_was(task, tmp_path: Path) -> None:
    whole = CHAIN.apply(student(), Bench(task, 0, tmp_path / "whole", CONFIG, (TEACHER,)))
    folder = tmp_path / "killed"

    def until(words: str, after: int):
        def told(work: str, done: int, total: int, note: str = "") -> None:
            if words in work and "soft_target" in work and done >= after:
                raise Killed

        return told

    for words, after in (("assistant 1", 2), ("assistant 2", 1), ("student", 1)):
        with pytest.raises(Killed):
            CHAIN.apply(student(), Bench(task, 0, folder, CONFIG, (TEACHER,), progress=until(words, after)))
    told: list[tuple[str, int]] = []
    bench = Bench(
        task, 0, folder, CONFIG, (TEACHER,), progress=lambda work, done, total, note="": told.append((work, done))
    )
    made = CHAIN.apply(student(), bench)
    assert [weights_hash(model) for model in made] == [weights_hash(model) for model in whole]
    assert [done for work, done in told if "soft_target" in work] == [1, 2, 3], "the student's last epochs alone"
    assert not list(folder.glob("assistant*/training.safetensors"))


def test_another_teacher_or_option_trains_the_assistants_anew(task, tmp_path: Path) -> None:
    bench = Bench(task, 0, tmp_path, CONFIG, (TEACHER,))
    first = CHAIN.apply(student(), bench)[0]
    (tmp_path / "training.safetensors").unlink()
    contrary = Teacher("contrary", "1" * 64, TEACHER.classes, lambda inputs: -halves(inputs))
    second = CHAIN.apply(student(), replace(bench, teachers=(contrary,)))[0]
    assert weights_hash(first) != weights_hash(second)


def measured(model: Model) -> TrainingConfig:
    """What would be measured: bfloat16 for wide nets."""
    wide = model.spec.options["hidden"][0] > 20
    return CONFIG.model_copy(update={"precision": Precision.BFLOAT16 if wide else Precision.FLOAT32})


def test_measured_choices_end_in_the_resolved_method_and_are_not_measured_again(task) -> None:
    resolved = CHAIN.resolved(task, measured)
    trainings = [assistant.training for assistant in resolved.assistants]
    assert [t and t.precision for t in trainings] == [Precision.BFLOAT16, Precision.FLOAT32]
    assert [t and t.epochs for t in trainings] == [3, 2]

    def refuses(model: Model) -> TrainingConfig:
        raise AssertionError("measured again")

    assert resolved.resolved(task, refuses) == resolved
    again = Progressive.model_validate(resolved.model_dump(mode="json"))
    assert again == resolved


def test_an_assistants_own_training_takes_only_what_it_leaves_open() -> None:
    own = CONFIG.model_copy(update={"epochs": 9, "precision": Precision.AUTO})
    found = CONFIG.model_copy(
        update={"precision": Precision.BFLOAT16, "memory_format": MemoryFormat.CHANNELS_LAST, "epochs": 1}
    )
    got = settled(own, student(), lambda _: found)
    assert got == own.model_copy(update={"precision": Precision.BFLOAT16})


def test_the_bench_measures_where_nothing_was_resolved(task, tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def training_for(model: Model) -> TrainingConfig:
        asked.append(model.spec.options["hidden"])
        return CONFIG.model_copy(update={"epochs": 1})

    CHAIN.apply(student(), Bench(task, 0, tmp_path, CONFIG, (TEACHER,), training_for=training_for))
    assert asked == [[24]], "the second has a training of its own"


def test_a_torch_teacher_answers_in_float32_inside_bfloat16(task) -> None:
    model = student()
    teacher = torch_teacher(model, "s", task)
    inputs = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
    with torch.autocast("cpu", torch.bfloat16):
        said = teacher.predict(inputs)
    with torch.no_grad():
        np.testing.assert_array_equal(said, model.module(torch.from_numpy(inputs)).numpy())
    assert teacher.sha256 == torch_teacher(student(), "other name", task).sha256
    assert teacher.sha256 != torch_teacher(build("mlp", SHAPE, 2, options={"hidden": [7]}), "s", task).sha256


def test_impossible_chains_are_refused(task, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the model 'resnet9'"):
        Assistant(model="resnet9")
    with pytest.raises(RecipeError, match="assistants"):
        validated(Progressive, {"assistants": []}, "phase 1, options.progressive")
    backwards = CHAIN.model_copy(update={"assistants": CHAIN.assistants[::-1]})
    bench = Bench(task, 0, tmp_path, CONFIG, (TEACHER,))
    with pytest.raises(RecipeError, match=r"assistant 2 \(mlp\) has 3,530 parameters, the one before it 1,766"):
        backwards.apply(student(), bench)
    with pytest.raises(RecipeError, match="without a training"):
        CHAIN.apply(student(), replace(bench, training=None))
    with pytest.raises(ModelError, match="without a teacher"):
        CHAIN.apply(student(), replace(bench, teachers=()))
    assert not list(tmp_path.iterdir())
