"""Decoupled distillation: by hand, by the paper's formula in float64, by its identity, and by numerical gradients."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from conftest import make_task
from galenic.compress.distill.dkd import DKD, decoupled, dkd_loss
from galenic.compress.distill.logit_standardization import standardized
from galenic.compress.method import Bench, Teacher
from galenic.record.errors import RecipeError
from galenic.record.task import Split, SplitName, Task, TaskKind
from galenic.record.training import Rows, TrainingConfig
from galenic.training.objective import Batch, Pass
from galenic.zoo.build import build

CONFIG = TrainingConfig(
    epochs=8, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64, over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def from_the_paper(
    student: np.ndarray, teacher: np.ndarray, labels: np.ndarray, temperature: float
) -> tuple[float, float]:
    """Equations 2 to 7 of arXiv:2203.08679, case by case in float64: (TCKD, NCKD)."""
    target, non_target = [], []
    for z_s, z_t, t in zip(student, teacher, labels, strict=True):
        p_s, p_t = softmax(z_s / temperature), softmax(z_t / temperature)
        b_s, b_t = np.array([p_s[t], 1 - p_s[t]]), np.array([p_t[t], 1 - p_t[t]])
        target.append((b_t * np.log(b_t / b_s)).sum())
        others = [k for k in range(len(z_s)) if k != t]
        hat_s, hat_t = p_s[others] / p_s[others].sum(), p_t[others] / p_t[others].sum()
        non_target.append((hat_t * np.log(hat_t / hat_s)).sum())
    return float(np.mean(target)), float(np.mean(non_target))


def test_by_hand() -> None:
    """Teacher (1/2, 3/8, 1/8), student (1/4, 1/2, 1/4), right class first.

    b: (1/2, 1/2) and (1/4, 3/4); the others: (3/4, 1/4) and (2/3, 1/3).
    """
    teacher, student = torch.tensor([[[0.5, 0.375, 0.125]], [[0.25, 0.5, 0.25]]], dtype=torch.float64).log()
    target, non_target = decoupled(student, teacher, torch.tensor([0]), 1.0)
    assert target.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert non_target.item() == pytest.approx(0.75 * math.log(9 / 8) + 0.25 * math.log(3 / 4))


@given(st.integers(0, 10_000), st.integers(3, 12), st.floats(0.5, 20))
def test_the_formula_and_the_identity(seed: int, classes: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(0, 3, (2, 4, classes))
    labels = rng.integers(0, classes, 4)
    tensors = torch.from_numpy(student), torch.from_numpy(teacher), torch.from_numpy(labels)
    expected = from_the_paper(student, teacher, labels, temperature)
    assert [part.item() for part in decoupled(*tensors, temperature)] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    weighted = temperature**2 * (0.7 * expected[0] + 5 * expected[1])
    assert dkd_loss(*tensors, temperature, 0.7, 5.0).item() == pytest.approx(weighted, rel=1e-6, abs=1e-7)
    row = slice(0, 1)
    p_t, p_s = softmax(teacher[row] / temperature), softmax(student[row] / temperature)
    target, non_target = (part.item() for part in decoupled(*(each[row] for each in tensors), temperature))
    whole = float((p_t * np.log(p_t / p_s)).sum())
    assert whole == pytest.approx(target + (1 - p_t[0, labels[0]]) * non_target, rel=1e-6, abs=1e-9)


def test_gradients_are_those_of_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    teacher = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 4, 2])
    assert torch.autograd.gradcheck(lambda z: dkd_loss(z, teacher, labels, 4.0, 1.0, 8.0), (student,))


def test_a_teacher_that_is_surest_costs_no_infinity() -> None:
    """p_t rounds to 1 in float32, where log(1 - p_t) of the authors' code is -inf."""
    student = torch.tensor([[60.0, 0.0, 1.0]], requires_grad=True)
    loss = dkd_loss(student, torch.tensor([[80.0, 1.0, 0.0]]), torch.tensor([0]), 1.0, 1.0, 8.0)
    loss.backward()
    assert loss.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def teacher_of(task: Task) -> Teacher:
    """A teacher by rule: how bright is the left half?"""

    def predict(inputs: np.ndarray) -> np.ndarray:
        difference = inputs[:, 0, :, :6].mean(axis=(1, 2)) - inputs[:, 0, :, 6:].mean(axis=(1, 2))
        middles = np.arange(task.outputs) * 1.2 / (task.outputs - 1)
        return (-10 * (difference[:, None] - middles) ** 2).astype(np.float32)

    return Teacher("rule", "0" * 64, task.classes, predict)


def bench_of(task: Task, folder: Path, **changes: object) -> Bench:
    return Bench(task, 0, folder, CONFIG.model_copy(update=changes), (teacher_of(task),))


@pytest.mark.parametrize("standardize", [False, True])
def test_a_student_learns(tmp_path: Path, standardize: bool) -> None:
    task = make_task(classes=3)
    method = DKD(standardize=standardize)
    (student,) = method.apply(build("resnet8", (1, 12, 12), 3), bench_of(task, tmp_path, epochs=12))
    inputs = torch.from_numpy(((task.test.inputs / 255 - 0.4) / 0.2).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        decided = student.module(inputs).argmax(1).numpy()
    assert (decided == task.test.labels).mean() > 0.85
    assert student.lineage == ("resnet8", "dkd")


def test_the_term_is_warmed_up_as_in_the_authors_code(tmp_path: Path) -> None:
    """min(1, e / 4) in the e-th of 8 epochs, with a warm-up of half the training."""
    task = make_task(classes=3)
    contribution = DKD(warmup=0.5).contribute(build("resnet8", (1, 12, 12), 3), bench_of(task, tmp_path))
    (term,) = contribution.terms
    assert contribution.label_weight == 1.0
    logits, rows = torch.zeros(4, 3), np.arange(4)
    losses = [
        term.loss(Pass(logits, {}, Batch(torch.empty(0), torch.tensor([0, 1, 2, 0]), rows, 0, epoch / 8))).item()
        for epoch in range(8)
    ]
    assert losses[-1] > 0
    assert [loss / losses[-1] for loss in losses] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


def test_the_term_compares_z_scores_where_told(tmp_path: Path) -> None:
    task = make_task(classes=3)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    labels, rows = torch.tensor([0, 1, 2, 0]), np.arange(4)
    contribution = DKD(standardize=True, warmup=0).contribute(
        build("resnet8", (1, 12, 12), 3), bench_of(task, tmp_path)
    )
    (term,) = contribution.terms
    seen = Pass(logits, {}, Batch(torch.empty(0), labels, rows, 0, 0.5))
    teacher = term.cache.answers(seen.batch)
    expected = dkd_loss(standardized(logits), standardized(teacher), labels, 4.0, 1.0, 8.0)
    assert term.loss(seen).item() == pytest.approx(expected.item())


def test_several_labels_two_classes_and_rows_without_labels_are_refused(tmp_path: Path) -> None:
    net = build("resnet8", (1, 12, 12), 3, options={"width": 0.25})
    with pytest.raises(RecipeError, match="multi-label"):
        DKD().apply(net, bench_of(make_task(classes=3, kind=TaskKind.MULTI_LABEL), tmp_path))
    with pytest.raises(RecipeError, match="two, there is one wrong class"):
        DKD().apply(net, bench_of(make_task(), tmp_path))
    task = make_task(classes=3)
    with pytest.raises(RecipeError, match=r"training\.rows = 'transfer'"):
        DKD(label_weight=0).apply(net, bench_of(task, tmp_path, rows=Rows.TRANSFER))
    labels = np.where(np.arange(48) < 5, -1, task.train.labels)
    missing = {**task.splits, SplitName.TRAIN: Split(task.train.inputs, labels, task.train.ids)}
    with pytest.raises(RecipeError, match="5 of 48 training rows have no label"):
        DKD().apply(net, bench_of(replace(task, splits=missing), tmp_path))


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"temperature": math.inf}, {"non_target_weight": -1}, {"warmup": 1.5}, {"views": 0}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DKD(**options)
