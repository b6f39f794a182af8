"""MiniLM's attention divergence by its formula in float64, the pairs, and what is refused before any work."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from galenic.compress.distill.attention_matrices import (
    AttentionMatrices,
    attending_layers,
    attention_divergence,
    same_depth,
)
from galenic.compress.distill.pairs import Pair
from galenic.compress.method import Bench, Teacher
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.training import MemoryFormat, Precision, TrainingConfig
from galenic.zoo.model import Model


def by_formula(student: np.ndarray, teacher: np.ndarray, mask: np.ndarray) -> float:
    """1/batch sum_x 1/(heads |x|) sum_heads sum_queries sum_keys T log(T / S), written out."""
    total = 0.0
    for x in range(len(mask)):
        of_x = 0.0
        for head in range(student.shape[1]):
            for query in np.flatnonzero(mask[x]):
                for key in range(student.shape[3]):
                    t, s = teacher[x, head, query, key], student[x, head, query, key]
                    of_x += t * math.log(t / s) if t > 0 else 0.0
        total += of_x / (student.shape[1] * mask[x].sum())
    return total / len(mask)


def matrices(seed: int, heads: int, mask: np.ndarray) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(0, 2, (len(mask), heads, mask.shape[1], mask.shape[1]))
    raised = np.exp(scores) * mask[:, None, None, :]
    return raised / raised.sum(axis=3, keepdims=True)


MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])


@pytest.mark.parametrize(("ours", "theirs"), [(3, 3), (1, 1), (2, 3), (4, 1)])
def test_it_is_the_papers_formula(ours: int, theirs: int) -> None:
    student, teacher = matrices(0, ours, MASK), matrices(1, theirs, MASK)
    if ours == theirs:
        expected = by_formula(student, teacher, MASK)
    else:
        expected = by_formula(student.mean(1, keepdims=True), teacher.mean(1, keepdims=True), MASK)
    found = attention_divergence(torch.from_numpy(student), torch.from_numpy(teacher), torch.from_numpy(MASK))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_by_hand() -> None:
    student = torch.tensor([[[[0.5, 0.5], [0.25, 0.75]]]])
    teacher = torch.tensor([[[[1.0, 0.0], [0.25, 0.75]]]])
    both = torch.ones((1, 2), dtype=torch.int64)
    assert attention_divergence(student, teacher, both).item() == pytest.approx(math.log(2) / 2)
    assert attention_divergence(student, teacher, torch.tensor([[0, 1]])).item() == pytest.approx(0, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 3))
def test_it_is_never_negative_and_padding_does_not_count(seed: int, heads: int, more: int) -> None:
    student, teacher = matrices(seed, heads, MASK), matrices(seed + 1, heads, MASK)
    tensors = [torch.from_numpy(one).float() for one in (student, teacher)]
    mask = torch.from_numpy(MASK)
    loss = attention_divergence(*tensors, mask)
    assert loss >= 0
    assert attention_divergence(tensors[1], tensors[1], mask).abs() < 1e-6
    wider = [nn.functional.pad(one, (0, more, 0, more), value=0.0) for one in tensors]
    for one in wider:  # what stands in the rows of padding is of no matter
        one[:, :, 4:, 0] = 1.0
    assert attention_divergence(*wider, nn.functional.pad(mask, (0, more))) == pytest.approx(loss.item(), rel=1e-5)


def test_a_student_that_gives_nothing_where_the_teacher_looks_has_a_finite_gradient() -> None:
    student = torch.tensor([[[[0.0, 1.0]]]], requires_grad=True)
    loss = attention_divergence(student, torch.tensor([[[[1.0, 0.0]]]]), torch.ones((1, 1)))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-9), rel=1e-6)
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(2, 4, [1, 3]), (6, 12, [1, 3, 5, 7, 9, 11]), (2, 5, [2, 4]), (1, 4, [3]), (3, 3, [0, 1, 2]), (3, 2, [0, 1, 1])],
)
def test_pairs_are_of_one_depth_and_the_last_meet(ours: int, theirs: int, expected: list[int]) -> None:
    student, teacher = [f"s{i}" for i in range(ours)], [f"t{i}" for i in range(theirs)]
    assert same_depth(student, teacher) == [(f"s{i}", f"t{j}") for i, j in enumerate(expected)]


class Attending(nn.Module):
    """Self-attention over the columns of an image, as torch has it; it returns (features, matrices)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(12, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, weights = self.inner(x, x, x, average_attn_weights=False)
        return features, weights


class Net(nn.Module):
    """Two layers of attention in which the outer module returns the matrices too, and a classifier."""

    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Attending() for _ in range(layers))
        self.classifier = nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, 0]
        for layer in self.layers:
            x = x + layer(x)[0]
        logits: torch.Tensor = self.classifier(x.mean(dim=1))
        return logits


def test_the_innermost_modules_are_found_and_modes_are_given_back() -> None:
    net = Net().train()
    net.classifier.eval()
    found = attending_layers(net, torch.zeros(2, 1, 12, 12))
    assert found == [("layers.0.inner", (2, 12, 12)), ("layers.1.inner", (2, 12, 12))]
    assert net.layers[0].training
    assert not net.classifier.training


def model(net: nn.Module) -> Model:
    return Model(net.eval(), ModelSpec(architecture="net", input_shape=(1, 12, 12), outputs=2), ("net",))


def bench_of(task, tmp_path, teacher: Model, **training) -> Bench:
    config = TrainingConfig(
        epochs=1, batch_size=16, precision=Precision.FLOAT32, memory_format=MemoryFormat.CONTIGUOUS, **training
    )
    named = Teacher("net", "0" * 64, task.classes, lambda rows: rows, teacher)
    return Bench(task, 0, tmp_path, config, (named,))


@pytest.mark.parametrize("cache_mb", [0.0, 100.0])
def test_it_trains_and_the_cached_teacher_says_what_the_live_one_says(task, tmp_path, cache_mb: float) -> None:
    torch.manual_seed(0)
    teacher, student = model(Net(4)), model(Net(2))
    bench = bench_of(task, tmp_path, teacher)
    contribution = AttentionMatrices(cache_mb=cache_mb).contribute(student, bench)
    assert contribution.terms[0].teacher.live == (cache_mb == 0)
    (trained,) = AttentionMatrices(cache_mb=cache_mb, views=2).apply(student, bench)
    assert trained.lineage == ("net", "attention_matrices")


@pytest.mark.parametrize(
    ("student", "teacher", "options", "told"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), Net(), {}, "none returns attention matrices"),
        (Net(), nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), {}, "the teacher net, of whose modules none"),
        (Net(), Net(), {"pairs": [Pair(student="layers.0.iner", teacher="layers.0.inner")]}, "layers.0.inner"),
        (Net(), Net(), {"pairs": [Pair(student="classifier", teacher="layers.0.inner")]}, "returns no attention"),
        (Net(), Net(), {"pairs": [Pair(student="layers.0.inner", teacher="layers.9")]}, "the teacher"),
    ],
)
def test_what_cannot_be_compared_is_refused(task, tmp_path, student, teacher, options, told) -> None:
    with pytest.raises(ModelError) as caught:
        AttentionMatrices(**options).contribute(model(student), bench_of(task, tmp_path, model(teacher)))
    assert told in str(caught.value)
