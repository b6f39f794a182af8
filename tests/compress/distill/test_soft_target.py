"""The soft-target loss by hand, and a student that learns from a teacher what its labels do not say."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import make_task
from galenic.compress.distill.soft_target import SoftTarget, soft_label_loss, soft_target_loss
from galenic.compress.method import Bench, Teacher
from galenic.pipeline.recipes import validated
from galenic.record.errors import ModelError, RecipeError
from galenic.record.recipe import PhaseRecipe
from galenic.record.task import Split, SplitName, TaskKind
from galenic.record.training import TrainingConfig
from galenic.training.objective import Batch, Pass
from galenic.zoo.build import build

CONFIG = TrainingConfig(
    epochs=6, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)


def test_the_loss_by_hand() -> None:
    """Teacher probabilities 3/4 and 1/4 at T = 2, student 1/2 and 1/2: T^2 (3/4 ln 3/2 + 1/4 ln 1/2)."""
    teacher = torch.tensor([[2 * math.log(3), 0.0]])
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert soft_target_loss(torch.zeros(1, 2), teacher, 2.0).item() == pytest.approx(expected)
    twice = soft_target_loss(torch.zeros(2, 2), teacher.repeat(2, 1), 2.0)
    assert twice.item() == pytest.approx(expected), "a mean over the batch, not over classes"


def test_the_label_form_is_the_mean_of_bernoulli_divergences() -> None:
    teacher = torch.tensor([[math.log(3), 0.0]])
    expected = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    assert soft_label_loss(torch.zeros(1, 2), teacher, 1.0).item() == pytest.approx(expected)


def test_equal_logits_lose_nothing_at_any_temperature() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for temperature in (0.5, 1.0, 20.0):
        assert soft_target_loss(logits, logits, temperature).item() == pytest.approx(0, abs=1e-5)
        assert soft_label_loss(logits, logits, temperature).item() == pytest.approx(0, abs=1e-5)


def halves(inputs: np.ndarray) -> np.ndarray:
    """A teacher by rule: is the left half brighter than the right?"""
    difference = inputs[:, 0, :, :6].mean(axis=(1, 2)) - inputs[:, 0, :, 6:].mean(axis=(1, 2))
    return np.stack([-8 * (difference - 0.6), 8 * (difference - 0.6)], axis=1).astype(np.float32)


def test_with_alpha_one_the_teacher_alone_is_learned(tmp_path: Path) -> None:
    task = make_task()
    wrong = Split(task.train.inputs, 1 - task.train.labels, task.train.ids)
    misled = dataclasses.replace(task, splits={**task.splits, SplitName.TRAIN: wrong})
    asked: list[int] = []

    def predict(inputs: np.ndarray) -> np.ndarray:
        asked.append(len(inputs))
        return halves(inputs)

    teacher = Teacher("rule", "0" * 64, task.classes, predict)
    bench = Bench(misled, 0, tmp_path, CONFIG, (teacher,))
    start = build("resnet8", (1, 12, 12), 2, options={"width": 4})
    (student,) = SoftTarget(alpha=1.0).apply(start, bench)
    inputs = torch.from_numpy(((task.test.inputs / 255 - 0.4) / 0.2).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        decided = student.module(inputs).argmax(1).numpy()
    assert (decided == task.test.labels).mean() > 0.9
    assert sum(asked) == len(task.train), "one view without augmentation, asked once"
    assert student.lineage == ("resnet8", "soft_target")


def test_views_bound_what_the_teacher_is_asked(task, tmp_path: Path) -> None:
    asked: list[int] = []

    def predict(inputs: np.ndarray) -> np.ndarray:
        asked.append(len(inputs))
        return halves(inputs)

    config = CONFIG.model_copy(update={"augment": True, "epochs": 5})
    bench = Bench(task, 0, tmp_path, config, (Teacher("rule", "0" * 64, task.classes, predict),))
    SoftTarget(views=2).apply(build("resnet8", (1, 12, 12), 2, options={"width": 4}), bench)
    assert sum(asked) == 2 * len(task.train)


def test_multi_label_tasks_distil_per_label(tmp_path: Path) -> None:
    task = make_task(kind=TaskKind.MULTI_LABEL)
    bench = Bench(task, 0, tmp_path, CONFIG, (Teacher("rule", "0" * 64, task.classes, halves),))
    (student,) = SoftTarget(alpha=0.5).apply(build("resnet8", (1, 12, 12), 2, options={"width": 4}), bench)
    assert student.spec.outputs == 2


def test_a_teacher_with_other_classes_is_refused(task, tmp_path: Path) -> None:
    bench = Bench(task, 0, tmp_path, CONFIG, (Teacher("other", "0" * 64, ("a", "b", "c"), halves),))
    with pytest.raises(ModelError, match="other has 3 classes"):
        SoftTarget().apply(build("resnet8", (1, 12, 12), 2), bench)


def test_no_teacher_is_refused(task, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="without a teacher"):
        SoftTarget().apply(build("resnet8", (1, 12, 12), 2), Bench(task, 0, tmp_path, CONFIG))


@pytest.mark.parametrize(("loss", "divisor"), [(soft_target_loss, 2), (soft_label_loss, 8)])
def test_infinite_temperature_is_the_limit_of_large_ones(loss, divisor: int) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 6, dtype=torch.float64, generator=generator) * 3
    difference = (student - teacher).numpy()
    if divisor == 2:
        difference = difference - difference.mean(axis=1, keepdims=True)
    limit = loss(student, teacher, math.inf).item()
    assert limit == pytest.approx((difference**2).mean() / divisor)
    errors = [abs(loss(student, teacher, temperature).item() - limit) for temperature in (1e2, 1e3, 1e4)]
    assert errors[2] < 1e-3 * limit
    assert errors[1] < errors[0] / 5, "it comes nearer as 1 / T"
    assert errors[2] < errors[1] / 5


def test_infinite_temperature_matches_centred_logits_by_hand() -> None:
    """Differences 3, 0, 0 have mean 1: (4 + 1 + 1) / (2 * 3); a shift of all logits counts for nothing."""
    student, teacher = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[0.0, 1.0, 2.0]])
    assert soft_target_loss(student, teacher, math.inf).item() == pytest.approx(1.0)
    assert soft_target_loss(student + 7, teacher, math.inf).item() == pytest.approx(1.0)


def test_the_temperature_follows_its_schedule(task, tmp_path: Path) -> None:
    bench = Bench(task, 0, tmp_path, CONFIG, (Teacher("rule", "0" * 64, task.classes, halves),))
    method = SoftTarget(temperature=8, schedule="linear", final_temperature=2, alpha=0.5)
    (term,) = method.contribute(build("resnet8", (1, 12, 12), 2), bench).terms
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    for progress, temperature in ((0.0, 8.0), (0.5, 5.0), (0.75, 3.5)):
        batch = Batch(torch.empty(0), torch.zeros(4, dtype=torch.long), np.arange(4), 0, progress)
        expected = 0.5 * soft_target_loss(logits, term.cache.answers(batch), temperature)
        assert term.loss(Pass(logits, {}, batch)).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("options", "key", "expected"),
    [
        ({"temperature": 0}, "temperature", "greater than 0"),
        ({"temperature": -2.0}, "temperature", "greater than 0"),
        ({"temperature": math.nan}, "temperature", "greater than 0"),
        ({"alpha": 1.2}, "alpha", "less than or equal to 1"),
        ({"alpha": -0.1}, "alpha", "greater than or equal to 0"),
        ({"final_temperature": 0, "schedule": "linear"}, "final_temperature", "greater than 0"),
        ({"final_temperature": 1}, "final_temperature", "schedule = 'linear', 'cosine' or 'cubic'"),
        ({"schedule": "cosine"}, "final_temperature", "a temperature"),
        ({"temperature": math.inf, "schedule": "linear", "final_temperature": 1}, "final_temperature", "finite"),
        ({"schedule": "curly", "final_temperature": 1}, "schedule", "'constant', 'linear', 'cosine' or 'cubic'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], key: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        validated(SoftTarget, options, "phase 1, options.soft_target")
    assert f"options.soft_target: '{key}' is" in caught.value.given
    assert expected in caught.value.expected


def test_an_infinite_temperature_survives_recipe_stage_key_and_json() -> None:
    phase = PhaseRecipe.model_validate(tomllib.loads('method = "soft_target"\noptions.soft_target.temperature = inf'))
    text = phase.model_dump_json()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    again = PhaseRecipe.model_validate_json(text)
    assert again == phase
    method = validated(SoftTarget, again.options["soft_target"], "phase 1")
    assert method.temperature == math.inf
    assert len(method.digest()) == 64
    assert method.digest() != SoftTarget().digest()
    assert SoftTarget.model_validate_json(method.model_dump_json()) == method
