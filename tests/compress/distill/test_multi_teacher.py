"""Weights and mixtures of several teachers by hand and in float64, and students that learn from them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_task
from galenic.compress.distill import multi_teacher
from galenic.compress.distill.answers import logit_cache
from galenic.compress.distill.multi_teacher import (
    MultiTeacher,
    TeacherAttention,
    Weighting,
    attention_for,
    confidence_of_classes,
    confidence_of_labels,
    mix_classes,
    mix_labels,
    validation_weights,
)
from galenic.compress.distill.soft_target import soft_target_loss
from galenic.compress.method import Bench, Teacher
from galenic.record.errors import ModelError, RecipeError
from galenic.record.task import Split, SplitName, Task, TaskKind
from galenic.record.training import Rows, TrainingConfig
from galenic.training.objective import Batch, Pass
from galenic.zoo.build import build
from galenic.zoo.model import Model

CONFIG = TrainingConfig(
    epochs=6, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)


def halves(sharpness: float):
    """A teacher by rule: is the left half brighter than the right? A negative sharpness answers the opposite."""

    def predict(inputs: np.ndarray) -> np.ndarray:
        side = inputs.shape[3] // 2
        difference = inputs[:, 0, :, :side].mean(axis=(1, 2)) - inputs[:, 0, :, side:].mean(axis=(1, 2)) - 0.6
        return sharpness * np.stack([-difference, difference], axis=1).astype(np.float32)

    return predict


def teacher(name: str, sharpness: float, score: float | None = None, classes=("class 0", "class 1")) -> Teacher:
    return Teacher(name, f"{name} {sharpness}".ljust(64, "0"), classes, halves(sharpness), score=score)


def student() -> Model:
    return build("mlp", (1, 12, 12), 2, options={"hidden": [16]})


def accuracy(task: Task, model: Model) -> float:
    inputs = torch.from_numpy(((task.test.inputs / 255 - 0.4) / 0.2).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        return float((model.module(inputs).argmax(1).numpy() == task.test.labels).mean())


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def test_softened_probabilities_are_mixed() -> None:
    """At T = 2: 3/4 and 1/4 with weight 2/3, 1/2 and 1/2 with weight 1/3, give 2/3 and 1/3."""
    teachers = torch.tensor([[[2 * math.log(3), 0.0]], [[0.0, 0.0]]])
    weights = torch.tensor([2 / 3, 1 / 3])[:, None, None]
    mixed = mix_classes(teachers, weights, 2.0)
    assert torch.softmax(mixed / 2, dim=1).tolist()[0] == pytest.approx([2 / 3, 1 / 3])
    assert torch.sigmoid(mix_labels(teachers, weights, 2.0) / 2).tolist()[0] == pytest.approx([2 / 3, 1 / 2])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 4), st.floats(0.5, 10))
def test_the_mix_has_the_gradient_of_the_weighted_sum_of_divergences(seed: int, count: int, temperature: float) -> None:
    """The papers' sum_k w_k T^2 KL(p_k || p_s), written out in float64, up to a constant."""
    rng = np.random.default_rng(seed)
    logits, weights = rng.normal(0, 3, (count, 5, 3)), softmax(rng.normal(0, 1, (5, count))).T
    taught = torch.from_numpy(rng.normal(0, 3, (5, 3))).requires_grad_()
    mixed = mix_classes(torch.from_numpy(logits), torch.from_numpy(weights)[:, :, None], temperature)
    (ours,) = torch.autograd.grad(soft_target_loss(taught, mixed, temperature), taught)
    soft = softmax(logits / temperature)
    towards = (weights[:, :, None] * (softmax(taught.detach().numpy() / temperature) - soft)).sum(axis=0)
    np.testing.assert_allclose(ours.numpy(), temperature * towards / 5, atol=1e-9)


def test_validation_weights_are_shares_of_what_is_above_chance() -> None:
    assert validation_weights([0.9, 0.7, 0.4]).flatten().tolist() == pytest.approx([2 / 3, 1 / 3, 0.0])


def test_a_teacher_of_no_weight_has_no_say() -> None:
    teachers = torch.tensor([[[1.0, -1.0]], [[-40.0, 40.0]]])
    mixed = mix_classes(teachers, validation_weights([0.9, 0.3]), 1.0)
    assert torch.softmax(mixed, dim=1)[0, 0].item() == pytest.approx(1 / (1 + math.exp(-2)))


def test_confidence_by_hand() -> None:
    """Losses ln 4, ln 2, ln 4/3 of the right class: exp gives 4, 2, 4/3, whose shares are 6/11, 3/11, 2/11."""
    logits = torch.tensor([1 / 4, 1 / 2, 3 / 4]).log()[:, None, None]
    wrong = torch.tensor([3 / 4, 1 / 2, 1 / 4]).log()[:, None, None]
    weights = confidence_of_classes(torch.cat([wrong, logits], dim=2), torch.tensor([1]))
    assert weights.flatten().tolist() == pytest.approx([5 / 22, 8 / 22, 9 / 22])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 4))
def test_confidence_is_the_papers_formula_in_float64(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 3, (count, 6, 3)), rng.integers(0, 3, 6)
    losses = -np.log(softmax(logits)[:, np.arange(6), labels])
    expected = (1 - np.exp(losses) / np.exp(losses).sum(axis=0)) / (count - 1)
    ours = confidence_of_classes(torch.from_numpy(logits), torch.from_numpy(labels))[:, :, 0].numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    np.testing.assert_allclose(ours.sum(axis=0), 1.0)


def test_confidence_is_weighed_for_each_label() -> None:
    """Label 1 said with 3/4 and 1/4: losses' exp 4/3 and 4, so 3/4 and 1/4; label 0 the other way round."""
    sure = math.log(3)
    weights = confidence_of_labels(torch.tensor([[[sure, sure]], [[-sure, -sure]]]), torch.tensor([[1.0, 0.0]]))
    assert weights[:, 0].tolist() == [pytest.approx([3 / 4, 1 / 4]), pytest.approx([1 / 4, 3 / 4])]


def test_attention_begins_as_the_average_and_is_the_formula() -> None:
    attention = attention_for(3, 2, seed=1)
    probabilities = torch.rand(4, 2)
    assert attention(probabilities).flatten().tolist() == pytest.approx([1 / 3] * 12)
    with torch.no_grad():
        attention.keys.normal_()
    query = np.tanh(
        probabilities.numpy() @ attention.query.weight.detach().numpy().T + attention.query.bias.detach().numpy()
    )
    expected = softmax(query @ attention.keys.detach().numpy().T / 4)
    np.testing.assert_allclose(attention(probabilities)[:, :, 0].T.detach().numpy(), expected, rtol=1e-4)


def test_equal_seeds_give_equal_attention_and_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    assert torch.equal(attention_for(2, 3, 5).query.weight, attention_for(2, 3, 5).query.weight)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("weighting", list(Weighting))
def test_the_student_learns_from_a_good_and_a_random_teacher(weighting: Weighting, task, tmp_path: Path) -> None:
    bench = Bench(task, 0, tmp_path, CONFIG, (teacher("good", 16, 0.99), teacher("dull", 0.1, 0.6)))
    (taught,) = MultiTeacher(weighting=weighting, alpha=1.0).apply(student(), bench)
    assert accuracy(task, taught) > 0.9
    assert taught.lineage == ("mlp", "multi_teacher")
    assert not [name for name in taught.module.state_dict() if "query" in name or "keys" in name]


@pytest.mark.parametrize("weighting", [Weighting.CONFIDENCE, Weighting.ATTENTION])
def test_a_teacher_that_is_always_wrong_is_overruled_case_by_case(weighting: Weighting, task, tmp_path: Path) -> None:
    """The average of these two teachers says nothing at all; whoever looks at the labels finds the right one."""
    config = CONFIG.model_copy(update={"epochs": 10})
    bench = Bench(task, 0, tmp_path, config, (teacher("good", 16), teacher("contrary", -16)))
    (taught,) = MultiTeacher(weighting=weighting, alpha=1.0, temperature=1.0).apply(student(), bench)
    assert accuracy(task, taught) > 0.9


def test_the_student_does_not_teach_the_attention_nor_the_labels_the_student(task, tmp_path: Path, monkeypatch) -> None:
    made: list[TeacherAttention] = []

    def remembered(*given: int) -> TeacherAttention:
        made.append(attention_for(*given))
        return made[-1]

    monkeypatch.setattr(multi_teacher, "attention_for", remembered)
    bench = Bench(task, 0, tmp_path, CONFIG, (teacher("good", 16), teacher("contrary", -16)))
    (term,) = MultiTeacher(weighting="attention").contribute(student(), bench).terms
    logits = torch.randn(8, 2, requires_grad=True)
    batch = Batch(torch.zeros(8, 1), torch.from_numpy(task.train.labels[:8]).long(), np.arange(8), 0)
    term.loss(Pass(logits, {}, batch)).backward()
    caches = [logit_cache(bench, one, 8).answers(batch) for one in bench.teachers]
    alone = logits.detach().clone().requires_grad_()
    mixed = mix_classes(torch.stack(caches), torch.full((2, 1, 1), 0.5), 4.0)
    (0.9 * soft_target_loss(alone, mixed, 4.0)).backward()
    assert torch.allclose(logits.grad, alone.grad, atol=1e-6), "the student sees the detached mix only"
    towards = made[0].keys.grad
    assert term.own is made[0]
    assert towards is not None
    assert torch.allclose(towards[0], -towards[1], atol=1e-6)
    assert towards[0].abs().sum() > 0


@pytest.mark.parametrize("weighting", list(Weighting))
def test_tasks_with_several_labels(weighting: Weighting, tmp_path: Path) -> None:
    task = make_task(kind=TaskKind.MULTI_LABEL)
    config = CONFIG.model_copy(update={"epochs": 2})
    bench = Bench(task, 0, tmp_path, config, (teacher("a", 16, 0.9), teacher("b", 4, 0.8)))
    (taught,) = MultiTeacher(weighting=weighting).apply(student(), bench)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in taught.module.parameters())


def test_each_teacher_is_asked_once_and_shares_its_answers_with_other_methods(task, tmp_path: Path) -> None:
    asked: dict[str, int] = {}

    def counted(one: Teacher) -> Teacher:
        def predict(inputs: np.ndarray) -> np.ndarray:
            asked[one.name] = asked.get(one.name, 0) + len(inputs)
            return one.predict(inputs)

        return dataclasses.replace(one, predict=predict)

    teachers = tuple(counted(teacher(name, sharpness)) for name, sharpness in (("a", 16.0), ("b", 4.0), ("c", 1.0)))
    config = CONFIG.model_copy(update={"epochs": 2})
    for number, weighting in enumerate((Weighting.AVERAGE, Weighting.CONFIDENCE)):
        bench = Bench(task, 0, tmp_path / str(number), config, teachers, answers=tmp_path)
        MultiTeacher(weighting=weighting).apply(student(), bench)
    assert asked == dict.fromkeys("abc", len(task.train))


def test_what_cannot_be_mixed_is_refused(task, tmp_path: Path) -> None:
    first, second = teacher("a", 16, 0.5), teacher("b", 4, 0.4)
    for teachers, words in (
        ((first,), "multi_teacher with 1 teacher"),
        ((), "multi_teacher with 0 teachers"),
        ((first, teacher("c", 1, classes=("x", "y"))), "the teacher c has 2 classes"),
    ):
        with pytest.raises(ModelError, match=words):
            MultiTeacher().apply(student(), Bench(task, 0, tmp_path, CONFIG, teachers))
    by_score = MultiTeacher(weighting="validation")
    with pytest.raises(ModelError, match=r"a 0\.500, b 0\.400"):
        by_score.apply(student(), Bench(task, 0, tmp_path, CONFIG, (first, second)))
    with pytest.raises(ModelError, match="c unknown"):
        by_score.apply(student(), Bench(task, 0, tmp_path, CONFIG, (teacher("c", 1), second)))


@pytest.mark.parametrize("weighting", ["confidence", "attention"])
def test_rows_without_labels_need_a_weighting_without_them(weighting: str, tmp_path: Path) -> None:
    task = make_task()
    transfer = Split(task.train.inputs[:20], task.train.labels[:20], np.array([f"t-{row}" for row in range(20)]))
    task = dataclasses.replace(task, transfer=transfer)
    config = CONFIG.model_copy(update={"rows": Rows.TRANSFER, "epochs": 1})
    bench = Bench(task, 0, tmp_path, config, (teacher("a", 16), teacher("b", 4)))
    with pytest.raises(RecipeError, match=f"weighting = '{weighting}'"):
        MultiTeacher(weighting=weighting, alpha=1.0).apply(student(), bench)
    MultiTeacher(alpha=1.0).apply(student(), bench)
    unknown = Split(task.train.inputs, np.full(len(task.train), -1), task.train.ids)
    unlabelled = dataclasses.replace(task, splits={**task.splits, SplitName.TRAIN: unknown})
    with pytest.raises(RecipeError, match="have no label"):
        MultiTeacher(weighting=weighting, alpha=1.0).apply(
            student(), dataclasses.replace(bench, task=unlabelled, training=CONFIG)
        )


@pytest.mark.slow
def test_big_teachers_of_three_families_teach_a_mobilenet(tmp_path: Path) -> None:
    """ResNet-152, DenseNet-201 and EfficientNet-B7 as they are, untrained: what counts is that they work together."""
    task = make_task(rows=8, side=32)
    shape = task.preprocessing.input_shape

    def teaching(name: str) -> Teacher:
        module = build(name, shape, 2).module

        def predict(inputs: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return module(torch.from_numpy(inputs)).numpy()

        return Teacher(name, name.ljust(64, "0"), task.classes, predict)

    teachers = tuple(teaching(name) for name in ("resnet152", "densenet201", "efficientnet_b7"))
    config = CONFIG.model_copy(update={"epochs": 1, "batch_size": 4, "learning_rate": 1e-3})
    for number, weighting in enumerate((Weighting.AVERAGE, Weighting.CONFIDENCE, Weighting.ATTENTION)):
        bench = Bench(task, 0, tmp_path / str(number), config, teachers, answers=tmp_path)
        (taught,) = MultiTeacher(weighting=weighting, views=1).apply(build("mobilenet_v3_small", shape, 2), bench)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in taught.module.parameters())
    assert taught.lineage == ("mobilenet_v3_small", "multi_teacher")
