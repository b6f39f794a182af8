"""Attention maps and their loss by hand and in float64; with soft targets in one training; against a student's own gaze."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import make_task
from galenic.compress.distill.attention import AttentionTransfer, attention_loss, attention_map
from galenic.compress.distill.pairs import Pair
from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench, Teacher, train_together, training_data
from galenic.record.errors import ModelError, RecipeError
from galenic.record.training import TrainingConfig
from galenic.training.layers import captured
from galenic.training.objective import Pass
from galenic.zoo.build import build
from galenic.zoo.model import Model, weights_hash

CONFIG = TrainingConfig(
    epochs=4, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)


def resnet(width: float = 0.25, seed: int = 0) -> Model:
    return build("resnet8", (1, 12, 12), 2, seed=seed, options={"width": width})


def teacher_of(model: Model, asked: list[int] | None = None) -> Teacher:
    def predict(inputs: np.ndarray) -> np.ndarray:
        if asked is not None:
            asked.append(len(inputs))
        with torch.no_grad():
            return model.module(torch.from_numpy(inputs)).numpy()

    return Teacher("teacher", "0" * 64, ("class 0", "class 1"), predict, model)


def gaze(model: Model, bench: Bench, path: str = "stages.2") -> torch.Tensor:
    inputs = training_data(bench, 1).inputs(0, np.arange(len(bench.task.train)))
    with torch.no_grad(), captured(model.module, [path]) as seen:
        model.module.eval()(inputs)
    return attention_map(seen[path], tuple(seen[path].shape[2:]))


def test_the_map_by_hand() -> None:
    """Two channels at two positions: means of squares (1 + 25) / 2 = 13 and (49 + 1) / 2 = 25."""
    features = torch.tensor([[[[1.0, 7.0]], [[5.0, -1.0]]]])
    length = (13**2 + 25**2) ** 0.5
    torch.testing.assert_close(attention_map(features, (1, 2)), torch.tensor([[13 / length, 25 / length]]))
    # pooled to one position every map is 1
    assert attention_map(features, (1, 1)).tolist() == [[1.0]]


def test_the_loss_by_hand() -> None:
    """(1, 0) and (0, 1): squares 1 and 1, mean 1; of two cases with one equal, 1/2."""
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert attention_loss(one, other).item() == 1.0
    assert attention_loss(torch.cat([one, one]), torch.cat([other, one])).item() == 0.5


def test_the_loss_is_the_authors_formula_in_float64(tmp_path: Path) -> None:
    """beta * sum over pairs of mean (at(x) - at(y))^2, with at(x) = normalise(mean over channels of x^2)."""
    student, teacher = resnet(), resnet(0.5, seed=1)
    bench = Bench(make_task(), 0, tmp_path, CONFIG, (teacher_of(teacher),))
    (term,) = AttentionTransfer().contribute(student, bench).terms
    assert term.layers == ("stages.0", "stages.1", "stages.2")
    batch = next(training_data(bench, 1).batches(0, 1, 16, 0, torch.device("cpu")))
    features = []
    for model in (student, teacher):
        with torch.no_grad(), captured(model.module, term.layers) as seen:
            model.module(batch.inputs)
        features.append(dict(seen))

    def at(x: np.ndarray) -> np.ndarray:
        flat = (x.astype(np.float64) ** 2).mean(axis=1).reshape(len(x), -1)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    expected = sum(((at(features[0][p].numpy()) - at(features[1][p].numpy())) ** 2).mean() for p in term.layers)
    found = term.loss(Pass(torch.zeros(16, 2), features[0], batch)).item()
    assert found == pytest.approx(1000 * expected, rel=1e-4)


def test_maps_of_different_size_are_pooled_to_the_smaller_one(tmp_path: Path) -> None:
    """(8, 6, 6) beside (4, 12, 12): the energy of 2 x 2 cells is averaged, then normalised."""
    teacher = resnet(seed=1)
    bench = Bench(make_task(), 0, tmp_path, CONFIG, (teacher_of(teacher),))
    for pair in (Pair(student="stages.1", teacher="stages.0"), Pair(student="stages.0", teacher="stages.1")):
        (term,) = AttentionTransfer(pairs=(pair,), weight=1.0).contribute(resnet(), bench).terms
        batch = next(training_data(bench, 1).batches(0, 1, 16, 0, torch.device("cpu")))
        features = []
        for model, path in ((resnet(), pair.student), (teacher, pair.teacher)):
            with torch.no_grad(), captured(model.module, [path]) as seen:
                model.module(batch.inputs)
            features.append(seen[path])

        def at(x: torch.Tensor) -> np.ndarray:
            energy = (x.double().numpy() ** 2).mean(axis=1)
            if energy.shape[1] == 12:
                energy = energy.reshape(16, 6, 2, 6, 2).mean(axis=(2, 4))
            return energy.reshape(16, 36) / np.linalg.norm(energy.reshape(16, 36), axis=1, keepdims=True)

        expected = ((at(features[0]) - at(features[1])) ** 2).mean()
        found = term.loss(Pass(torch.zeros(16, 2), {pair.student: features[0]}, batch)).item()
        assert found == pytest.approx(expected, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 99))
def test_how_strongly_a_net_looks_does_not_matter(scale: float, seed: int) -> None:
    features = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = attention_map(features, (5, 5))
    torch.testing.assert_close(attention_map(scale * features, (5, 5)), found)
    torch.testing.assert_close(attention_map(features[:, [3, 1, 0, 2]], (5, 5)), found)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert attention_loss(found, found).item() == 0


def test_it_shares_a_training_with_soft_targets(tmp_path: Path) -> None:
    """One training, one lineage entry each; the teacher answers each row once, and the student looks where it looks."""
    teacher, asked = resnet(0.5, seed=1), list[int]()
    bench = Bench(make_task(), 0, tmp_path, CONFIG, (teacher_of(teacher, asked),))
    alone = train_together([SoftTarget()], resnet(), bench)
    (tmp_path / "training.safetensors").unlink()
    both = train_together([SoftTarget(), AttentionTransfer()], resnet(), bench)
    assert both.lineage == ("resnet8", "soft_target", "attention_transfer")
    assert sum(asked) == len(bench.task.train), "both trainings share the cached logits"
    distance = [attention_loss(gaze(one, bench), gaze(teacher, bench)).item() for one in (alone, both)]
    assert distance[1] < 0.5 * distance[0]
    assert both.module.state_dict().keys() == resnet().module.state_dict().keys()


def test_the_order_of_methods_and_a_second_run_give_the_same_student(tmp_path: Path) -> None:
    found = []
    for number, methods in enumerate([[SoftTarget(), AttentionTransfer()], [SoftTarget(), AttentionTransfer()]]):
        bench = Bench(make_task(), 0, tmp_path / str(number), CONFIG, (teacher_of(resnet(0.5, seed=1)),))
        bench.folder.mkdir()
        found.append(weights_hash(train_together(methods, resnet(), bench)))
    assert found[0] == found[1]


def test_methods_that_disagree_on_views_are_refused(tmp_path: Path) -> None:
    bench = Bench(make_task(), 0, tmp_path, CONFIG, (teacher_of(resnet(seed=1)),))
    with pytest.raises(RecipeError, match="disagree on views"):
        train_together([SoftTarget(views=2), AttentionTransfer(views=3)], resnet(), bench)


def test_maps_too_large_for_the_cache_are_made_live(tmp_path: Path) -> None:
    teacher = resnet(seed=1)
    bench = Bench(make_task(), 0, tmp_path, CONFIG, (teacher_of(teacher),))
    batch = next(training_data(bench, 1).batches(0, 1, 16, 0, torch.device("cpu")))
    losses = []
    for limit in (1000.0, 0.0):
        (term,) = AttentionTransfer(cache_mb=limit).contribute(resnet(), bench).terms
        student = resnet()
        with torch.no_grad(), captured(student.module, term.layers) as seen:
            logits = student.module(batch.inputs)
        losses.append(term.loss(Pass(logits, dict(seen), batch)).item())
        # 144 + 36 + 9 positions of 4 bytes in each of 48 rows
        assert term.teacher.cache_bytes == 48 * 189 * 4
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_vectors_have_no_attention_map(tmp_path: Path) -> None:
    bench = Bench(make_task(), 0, tmp_path, CONFIG, (teacher_of(resnet(seed=1)),))
    pair = Pair(student="head.1", teacher="head.1")
    with pytest.raises(ModelError, match="two layers whose outputs are maps"):
        AttentionTransfer(pairs=(pair,)).contribute(resnet(), bench)


def test_a_teacher_with_other_classes_is_refused(tmp_path: Path) -> None:
    teacher = dataclasses.replace(teacher_of(resnet()), classes=("class 1", "class 0"))
    with pytest.raises(ModelError, match="in that order"):
        AttentionTransfer().contribute(resnet(), Bench(make_task(), 0, tmp_path, CONFIG, (teacher,)))
