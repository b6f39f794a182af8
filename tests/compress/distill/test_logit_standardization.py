"""z-scores of logits: by hand, by the paper's formula in float64, and the law that shift and scale do not count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_task
from galenic.compress.distill.logit_standardization import LogitStandardization, standardized, standardized_loss
from galenic.compress.method import Bench, Teacher
from galenic.record.errors import RecipeError
from galenic.record.task import TaskKind
from galenic.record.training import TrainingConfig
from galenic.training.objective import Batch, Pass
from galenic.zoo.build import build

CONFIG = TrainingConfig(
    epochs=2, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)


def test_z_scores_by_hand() -> None:
    """1, 3, 5, 7: mean 4, variance (9 + 1 + 1 + 9) / 4 = 5."""
    scores = standardized(torch.tensor([[1.0, 3.0, 5.0, 7.0]]))
    assert scores[0].tolist() == pytest.approx([value / math.sqrt(5) for value in (-3, -1, 1, 3)])


def test_they_lie_within_the_root_of_classes_minus_one() -> None:
    """The paper's bound, which one class against all others reaches."""
    assert standardized(torch.tensor([[9.0, 0, 0, 0, 0]])).max().item() == pytest.approx(2.0)


@given(st.integers(0, 10_000), st.integers(3, 12), st.floats(0.5, 20))
def test_the_formula(seed: int, classes: int, temperature: float) -> None:
    student, teacher = np.random.default_rng(seed).normal(0, 3, (2, 4, classes))
    total = 0.0
    for z, v in zip(student, teacher, strict=True):
        q_s, q_t = (
            np.exp((x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).sum() / classes) / temperature) for x in (z, v)
        )
        q_s, q_t = q_s / q_s.sum(), q_t / q_t.sum()
        total += (q_t * np.log(q_t / q_s)).sum()
    loss = standardized_loss(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert loss.item() == pytest.approx(temperature**2 * total / 4, rel=1e-5, abs=1e-9)


@given(st.integers(0, 10_000), st.floats(-20, 20), st.floats(0.05, 20), st.booleans())
def test_shift_and_scale_of_either_side_do_not_count(seed: int, shift: float, scale: float, whose: bool) -> None:
    student, teacher = torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (2, 3, 6)))
    moved = (student * scale + shift, teacher) if whose else (student, teacher * scale + shift)
    assert standardized_loss(*moved, 2.0).item() == pytest.approx(
        standardized_loss(student, teacher, 2.0).item(), rel=1e-4
    )


def test_gradients_are_those_of_differences_and_finite_for_equal_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    teacher = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(lambda z: standardized_loss(z, teacher, 2.0), (student,))
    silent = torch.zeros(2, 4, requires_grad=True)
    standardized_loss(silent, torch.randn(2, 4, generator=generator), 2.0).backward()
    assert silent.grad is not None
    assert silent.grad.isfinite().all()


def bench_of(task, folder: Path) -> Bench:
    def predict(inputs: np.ndarray) -> np.ndarray:
        difference = inputs[:, 0, :, :6].mean(axis=(1, 2)) - inputs[:, 0, :, 6:].mean(axis=(1, 2))
        return (-10 * (difference[:, None] - np.array([0.0, 0.6, 1.2])[: task.outputs]) ** 2).astype(np.float32)

    return Bench(task, 0, folder, CONFIG, (Teacher("rule", "0" * 64, task.classes, predict),))


def test_the_term_is_weighted_and_the_labels_too(tmp_path: Path) -> None:
    bench = bench_of(make_task(classes=3), tmp_path)
    contribution = LogitStandardization(weight=9, label_weight=0.25).contribute(build("resnet8", (1, 12, 12), 3), bench)
    (term,) = contribution.terms
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    batch = Batch(torch.empty(0), torch.zeros(4, dtype=torch.long), np.arange(4), 0, 0.5)
    expected = 9 * standardized_loss(logits, term.cache.answers(batch), 2.0)
    assert term.loss(Pass(logits, {}, batch)).item() == pytest.approx(expected.item())
    assert contribution.label_weight == 0.25
    assert contribution.views == 8


def test_a_student_is_made(tmp_path: Path) -> None:
    start = build("resnet8", (1, 12, 12), 3, options={"width": 0.25})
    (student,) = LogitStandardization().apply(start, bench_of(make_task(classes=3), tmp_path))
    assert student.lineage == ("resnet8", "logit_standardization")
    assert not torch.equal(student.module.classifier.weight, start.module.classifier.weight)


def test_two_classes_and_several_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="only a sign"):
        LogitStandardization().apply(build("resnet8", (1, 12, 12), 2), bench_of(make_task(), tmp_path))
    task = make_task(classes=3, kind=TaskKind.MULTI_LABEL)
    with pytest.raises(RecipeError, match="multi-label"):
        LogitStandardization().apply(build("resnet8", (1, 12, 12), 3), bench_of(task, tmp_path))
