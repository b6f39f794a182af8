"""A teacher made by hand: against torch's label smoothing and against soft targets with a uniform teacher."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conftest import make_task
from galenic.compress.distill.soft_target import soft_target_loss
from galenic.compress.distill.virtual_teacher import VirtualTeacher, virtual_logits, virtual_teacher_loss
from galenic.compress.method import Bench
from galenic.record.errors import RecipeError
from galenic.record.task import TaskKind
from galenic.record.training import Rows, TrainingConfig
from galenic.training.objective import Batch, LabelTerm, Pass
from galenic.zoo.build import build

CONFIG = TrainingConfig(
    epochs=2, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)


def test_the_teacher_by_hand() -> None:
    said = virtual_logits(torch.tensor([2, 0]), 5, 0.9).softmax(1)
    assert said[0].tolist() == pytest.approx([0.025, 0.025, 0.9, 0.025, 0.025])
    assert said[1].tolist() == pytest.approx([0.9, 0.025, 0.025, 0.025, 0.025])


def test_the_loss_by_hand() -> None:
    """u = (4/5, 1/5) softened at T = 2 is (2/3, 1/3); a student that knows nothing says (1/2, 1/2)."""
    expected = 4 * (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3))
    loss = virtual_teacher_loss(torch.zeros(1, 2), torch.tensor([0]), 0.8, 2.0)
    assert loss.item() == pytest.approx(expected)


def gradient(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss, logits)
    return found


@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(0.5, 0.999), st.floats(0, 1))
def test_at_temperature_one_it_is_label_smoothing(seed: int, classes: int, correct: float, alpha: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, classes, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.randint(0, classes, (6,), generator=generator)
    mixed = alpha * virtual_teacher_loss(logits, labels, correct, 1.0)
    mixed = mixed + (1 - alpha) * nn.CrossEntropyLoss()(logits, labels)
    smoothing = alpha * (1 - correct) * classes / (classes - 1)
    smoothed = nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, labels)
    torch.testing.assert_close(gradient(mixed, logits), gradient(smoothed, logits), rtol=1e-9, atol=1e-12)


def test_the_textbooks_uniform_teacher() -> None:
    """a = 1 / classes: soft targets of equal logits, and label smoothing with eps = alpha."""
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 4, 4])
    uniform = virtual_teacher_loss(logits, labels, 0.2, 1.0)
    assert uniform.item() == pytest.approx(soft_target_loss(logits, torch.zeros(4, 5), 1.0).item())
    mixed = 0.1 * uniform + 0.9 * nn.CrossEntropyLoss()(logits, labels)
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, labels)
    torch.testing.assert_close(gradient(mixed, logits), gradient(smoothed, logits))


def bench_of(task, folder: Path, **changes: object) -> Bench:
    return Bench(task, 0, folder, CONFIG.model_copy(update=changes))


def test_the_phase_minimises_label_smoothing(tmp_path: Path) -> None:
    """The term and the label term of the method together, at T = 1 and a = 1 / 3."""
    method = VirtualTeacher(correct=1 / 3, temperature=1, alpha=0.3)
    contribution = method.contribute(build("resnet8", (1, 12, 12), 3), bench_of(make_task(classes=3), tmp_path))
    assert contribution.label_weight is not None
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    batch = Batch(torch.empty(0), torch.tensor([0, 2, 2, 1]), torch.arange(4).numpy(), 0)
    terms = (*contribution.terms, LabelTerm(nn.CrossEntropyLoss(), contribution.label_weight))
    total = torch.stack([term.loss(Pass(logits, {}, batch)) for term in terms]).sum()
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.3)(logits, batch.labels)
    torch.testing.assert_close(gradient(total, logits), gradient(smoothed, logits))


def test_a_student_needs_no_teacher(tmp_path: Path) -> None:
    start = build("resnet8", (1, 12, 12), 2, options={"width": 0.25})
    (student,) = VirtualTeacher().apply(start, bench_of(make_task(), tmp_path))
    assert student.lineage == ("resnet8", "virtual_teacher")
    assert not VirtualTeacher.needs_teacher


def test_what_it_is_not_for_is_refused(tmp_path: Path) -> None:
    net = build("resnet8", (1, 12, 12), 3)
    task = make_task(classes=3)
    with pytest.raises(RecipeError, match=r"correct = 0\.3 with 3 classes"):
        VirtualTeacher(correct=0.3).apply(net, bench_of(task, tmp_path))
    with pytest.raises(RecipeError, match="multi-label"):
        VirtualTeacher().apply(net, bench_of(make_task(classes=3, kind=TaskKind.MULTI_LABEL), tmp_path))
    with pytest.raises(RecipeError, match=r"training\.rows = 'both'"):
        VirtualTeacher(alpha=1).apply(net, bench_of(task, tmp_path, rows=Rows.BOTH))
