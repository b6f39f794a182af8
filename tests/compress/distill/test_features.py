"""Feature distances by hand and against float64 formulas; pairs, transforms and the teacher's cache on tiny nets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from conftest import make_task
from galenic.compress.distill.features import (
    FeatureMatching,
    FeatureTerm,
    Regressor,
    feature_loss,
    similarity_loss,
    spatial_map,
)
from galenic.compress.distill.pairs import Pair
from galenic.compress.method import Bench, Teacher, training_data
from galenic.pipeline.recipes import validated
from galenic.record.errors import ModelError, RecipeError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.training import TrainingConfig
from galenic.training.layers import captured
from galenic.training.objective import Pass
from galenic.zoo.build import build
from galenic.zoo.model import Model

CONFIG = TrainingConfig(
    epochs=4, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)
DEEPEST = (Pair(student="stages.2", teacher="stages.2"),)


def resnet(width: float = 0.25, seed: int = 0) -> Model:
    """Stages of (4, 12, 12), (8, 6, 6) and (16, 3, 3) where the width is a quarter."""
    return build("resnet8", (1, 12, 12), 2, seed=seed, options={"width": width})


def teacher_of(model: Model, name: str = "teacher") -> Teacher:
    def predict(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.module(torch.from_numpy(inputs)).numpy()

    return Teacher(name, "0" * 64, ("class 0", "class 1"), predict, model)


def bench_of(folder: Path, teacher: Model, config: TrainingConfig = CONFIG, **others) -> Bench:
    return Bench(make_task(), 0, folder, config, (teacher_of(teacher),), **others)


def term_of(method: FeatureMatching, student: Model, bench: Bench) -> FeatureTerm:
    (term,) = method.contribute(student, bench).terms
    assert isinstance(term, FeatureTerm)
    return term


def first_pass(model: Model, bench: Bench, term: FeatureTerm) -> Pass:
    batch = next(training_data(bench, 1).batches(0, 1, 16, 0, torch.device("cpu")))
    with captured(model.module, term.layers) as layers:
        logits = model.module(batch.inputs)
    return Pass(logits, dict(layers), batch)


def test_the_distance_by_hand() -> None:
    student, teacher = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert feature_loss(student, teacher, normalise=False).item() == pytest.approx((9 + 1) / 2)
    # (sqrt 2, 0) and (0, sqrt 2): 2 - 2 cos 90 degrees
    assert feature_loss(student, teacher, normalise=True).item() == pytest.approx(2, abs=1e-5)
    assert feature_loss(student, -student, normalise=True).item() == pytest.approx(4, abs=1e-5)


def test_similarity_by_hand() -> None:
    # orthogonal rows: G = 1; equal rows: every entry 1 / sqrt 2
    apart, alike = torch.eye(2), torch.ones(2, 3, 2, 2)
    root = 2**-0.5
    expected = ((1 - root) ** 2 + root**2) / 2
    assert similarity_loss(alike, apart).item() == pytest.approx(expected)


def test_distances_are_the_formulas_in_float64() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(5, 4, 3, 2)), rng.normal(size=(5, 4, 3, 2))
    other = rng.normal(size=(5, 7, 6, 4))

    def cosine(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return (a * b).sum(axis) / np.linalg.norm(a, axis=axis) / np.linalg.norm(b, axis=axis)

    def gram(a: np.ndarray) -> np.ndarray:
        flat = a.reshape(len(a), -1)
        matrix = flat @ flat.T
        return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)

    ours, theirs, wide = map(torch.from_numpy, (student, teacher, other))
    assert feature_loss(ours, theirs, False).item() == pytest.approx(((student - teacher) ** 2).mean(), rel=1e-12)
    assert feature_loss(ours, theirs, True).item() == pytest.approx(
        (2 - 2 * cosine(student, teacher, 1)).mean(), rel=1e-4
    )
    assert similarity_loss(ours, wide).item() == pytest.approx(
        np.linalg.norm(gram(student) - gram(other), "fro") ** 2 / 25, rel=1e-12
    )
    # 6 x 4 positions pooled to 3 x 2: means of 2 x 2 cells
    pooled = other.mean(axis=1).reshape(5, 3, 2, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(spatial_map(wide, (3, 2)).numpy(), pooled, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 100), st.integers(0, 99))
def test_size_does_not_matter_where_directions_are_compared(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 4, 5, 3, 3, generator=generator, dtype=torch.float64)
    plain = feature_loss(student, teacher, True).item()
    assert feature_loss(scale * student, teacher, True).item() == pytest.approx(plain, rel=1e-3)
    assert similarity_loss(scale * student, teacher).item() == pytest.approx(similarity_loss(student, teacher).item())
    assert 0 <= plain <= 4


def test_features_that_are_all_zero_have_a_finite_gradient() -> None:
    student = torch.zeros(2, 3, 1, 1, requires_grad=True)
    feature_loss(student, torch.ones(2, 3, 1, 1), True).backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e4


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [((4, 3, 3), (6, 5, 2)), ((4, 8), (6, 3)), ((4, 3), (4, 7)), ((4,), (6,)), ((4, 2, 2), (4, 4, 4))],
)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_transform_gives_the_teachers_shape(ours, theirs, batch_norm: bool) -> None:
    assert Regressor(ours[0], theirs, batch_norm)(torch.randn(5, *ours)).shape == (5, *theirs)


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({"matching": "one_to_one"}, 0.25),
        ({"matching": "multi_layer", "normalise": False, "weight": 30}, 0.25),
        ({"matching": "adaptive"}, 0.5),
        ({"matching": "multi_layer", "reduce": "spatial"}, 0.5),
        ({"matching": "multi_layer", "reduce": "similarity", "weight": 100}, 0.5),
    ],
)
def test_the_student_comes_to_resemble_the_teacher(tmp_path: Path, options, width: float) -> None:
    """In every matching and reduction the distance falls, and nothing of the transforms stays in the student."""
    teacher, start = resnet(width, seed=1), resnet()
    method = FeatureMatching.model_validate(options)
    bench = bench_of(tmp_path, teacher)
    term = term_of(method, start, bench)
    before = term.loss(first_pass(start, bench, term)).item()
    (student,) = method.apply(start, bench)
    after = term.loss(first_pass(student, bench, term)).item()
    if term.own is None:
        assert after < 0.95 * before
    assert student.module.state_dict().keys() == start.module.state_dict().keys()
    assert student.lineage == ("resnet8", "feature_matching")


def test_transforms_are_trained_with_the_student_and_drawn_from_the_seed(tmp_path: Path) -> None:
    teacher, student = resnet(0.5, seed=1), resnet()
    bench = bench_of(tmp_path, teacher)
    state = torch.random.get_rng_state()
    one, two = (term_of(FeatureMatching(), student, bench) for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    other = term_of(FeatureMatching(), student, dataclasses.replace(bench, seed=1))
    assert one.own is not None
    assert two.own is not None
    assert other.own is not None
    weights = [next(term.own.parameters()) for term in (one, two, other) if term.own is not None]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    optimizer = torch.optim.Adam(one.own.parameters(), lr=0.03)
    seen = first_pass(student, bench, one)
    fixed = dataclasses.replace(seen, layers={path: layer.detach() for path, layer in seen.layers.items()})
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = one.loss(fixed)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_where_nothing_is_named_the_suggested_pairs_are_taken_and_said(tmp_path: Path) -> None:
    notes: list[str] = []

    def progress(work: str, done: int, total: int, note: str = "") -> None:
        notes.append(f"{work} {done}/{total} {note}")

    bench = bench_of(tmp_path, resnet(seed=1), progress=progress)
    assert term_of(FeatureMatching(matching="one_to_one"), resnet(), bench).layers == ("stages.2",)
    assert notes[-1].startswith(
        "feature_matching: layers 1/1 stages.2 (16, 3, 3) <- stages.2 (16, 3, 3); the teacher's"
    )
    assert term_of(FeatureMatching(matching="multi_layer"), resnet(), bench).layers == (
        "stages.0",
        "stages.1",
        "stages.2",
    )
    written = json.loads((tmp_path / "feature_matching-pairs.json").read_text())
    assert [pair["student"] for pair in written["pairs"]] == ["stages.0", "stages.1", "stages.2"]
    assert written["pairs"][0]["shapes"] == "stages.0 (4, 12, 12) <- stages.0 (4, 12, 12)"


def test_weights_of_pairs_multiply_their_distances(tmp_path: Path) -> None:
    student, bench = resnet(), bench_of(tmp_path, resnet(seed=1))

    def loss(*weights: float, total: float = 1.0) -> float:
        pairs = tuple(
            Pair(student=f"stages.{stage}", teacher=f"stages.{stage}", weight=weight)
            for stage, weight in enumerate(weights, 1)
        )
        term = term_of(FeatureMatching(pairs=pairs, weight=total), student, bench)
        return term.loss(first_pass(student, bench, term)).item()

    apart = loss(1), loss(1, 1) - loss(1)
    assert loss(2, 5, total=3) == pytest.approx(3 * (2 * apart[0] + 5 * apart[1]), rel=1e-4)


@pytest.mark.parametrize("reduce", ["none", "spatial", "similarity"])
def test_cached_layers_are_those_of_the_live_teacher(tmp_path: Path, reduce: str) -> None:
    student, bench = resnet(), bench_of(tmp_path, resnet(seed=1))
    found = []
    for limit in (1000.0, 0.0):
        method = FeatureMatching(matching="one_to_one", reduce=reduce, pairs=DEEPEST, cache_mb=limit)
        term = term_of(method, student, bench)
        assert term.teacher.live is (limit == 0)
        found.append(term.loss(first_pass(student, bench, term)).item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_the_limit_decides_whether_the_teacher_runs_live(tmp_path: Path) -> None:
    """48 rows of 16 x 3 x 3 numbers of 4 bytes are 27,648 bytes; with 3 augmented views three times as much."""
    augmented = CONFIG.model_copy(update={"augment": True})
    for config, views, limit, expected in (
        (CONFIG, 3, 0.027648, 27_648),
        (CONFIG, 3, 0.0276, 27_648),
        (augmented, 3, 0.09, 82_944),
        (augmented, 3, 0.05, 82_944),
    ):
        bench = bench_of(tmp_path, resnet(seed=1), config)
        method = FeatureMatching(matching="one_to_one", pairs=DEEPEST, views=views, cache_mb=limit)
        teacher = term_of(method, resnet(), bench).teacher
        assert teacher.cache_bytes == expected
        assert teacher.live is (expected > limit * 1e6)
        assert ("runs live" if teacher.live else "are cached") in teacher.note


@pytest.mark.parametrize("limit", [0.0, 1000.0])
def test_a_teacher_that_yields_nan_is_refused(tmp_path: Path, limit: float) -> None:
    teacher = resnet(seed=1)
    with torch.no_grad():
        next(teacher.module.parameters()).fill_(float("nan"))
    student, bench = resnet(), bench_of(tmp_path, teacher)
    term = term_of(FeatureMatching(cache_mb=limit), student, bench)
    with pytest.raises(ModelError, match="finite"):
        term.loss(first_pass(student, bench, term))


@pytest.mark.parametrize("limit", [0.0, 1000.0])
def test_half_precision_and_channels_last_train(tmp_path: Path, limit: float) -> None:
    config = CONFIG.model_copy(
        update={"precision": "bfloat16", "memory_format": "channels-last", "epochs": 1, "augment": True}
    )
    teacher = resnet(0.5, seed=1)
    weights = {key: value.clone() for key, value in teacher.module.state_dict().items()}
    (student,) = FeatureMatching(cache_mb=limit, views=2).apply(resnet(), bench_of(tmp_path, teacher, config))
    assert all(tensor.isfinite().all() for tensor in student.module.state_dict().values())
    assert all(torch.equal(value, weights[key]) for key, value in teacher.module.state_dict().items())


class Tokens(nn.Module):
    """Rows of an image as tokens of ``width`` numbers."""

    def __init__(self, width: int, tokens: int = 12) -> None:
        super().__init__()
        self.tokens = tokens
        self.embed = nn.Linear(12, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.classifier = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x[:, 0, : self.tokens])
        for block in self.blocks:
            x = x + block(x)
        return self.classifier(x.mean(dim=1))


def as_model(module: nn.Module) -> Model:
    return dataclasses.replace(resnet(), module=module)


def test_tokens_are_projected_along_their_dimensions(tmp_path: Path) -> None:
    student = as_model(Tokens(6))
    bench = bench_of(tmp_path, as_model(Tokens(8)))
    term = term_of(FeatureMatching(batch_norm=False), student, bench)
    assert term.layers == ("blocks.0", "blocks.1")
    assert term.own is not None
    assert [tuple(weight.shape) for weight in term.own.parameters()] == [(8, 6, 1), (8,)] * 2
    assert term.loss(first_pass(student, bench, term)).isfinite()


def test_signals_of_different_length_are_matched_in_time(tmp_path: Path) -> None:
    rows = make_task(side=12)
    splits = {
        name: dataclasses.replace(split, inputs=split.inputs.reshape(48, 144, 1)) for name, split in rows.splits.items()
    }
    spec = Preprocessing(modality=Modality.SIGNAL, raw_shape=(144, 1), scale=1 / 255, mean=(0.4,), std=(0.2,))
    task = dataclasses.replace(rows, splits=splits, preprocessing=spec)
    teacher = build("resnet1d", (1, 144), 2, options={"width": 4})
    student = build("ds_conv1d", (1, 144), 2, options={"width": 4})
    bench = Bench(task, 0, tmp_path, CONFIG, (teacher_of(teacher),))
    pair = Pair(student="features.6", teacher="features.4")  # (16, 9) and (8, 36)
    term = term_of(FeatureMatching(pairs=(pair,)), student, bench)
    assert term.loss(first_pass(student, bench, term)).isfinite()


def test_shapes_that_differ_need_an_adaptive_transform(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, resnet(0.5, seed=1))
    with pytest.raises(ModelError, match=r"\(16, 3, 3\).*\(32, 3, 3\).*matching = 'adaptive'"):
        FeatureMatching(matching="one_to_one").contribute(resnet(), bench)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (Pair(student="stages.9", teacher="stages.2"), r"'stages.9' of the student.*stages\.2"),
        (Pair(student="stages.2", teacher="stage.2"), r"'stage.2' of the teacher.*stages\.2"),
        (Pair(student="head.1", teacher="stages.2"), r"two layers of one kind"),
    ],
)
def test_layers_that_do_not_fit_are_refused(tmp_path: Path, pair: Pair, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FeatureMatching(pairs=(pair,)).contribute(resnet(), bench_of(tmp_path, resnet(seed=1)))


def test_a_layer_that_is_never_called_is_refused(tmp_path: Path) -> None:
    teacher = resnet(seed=1)
    teacher.module.stages[0][0].spare = nn.Linear(1, 1)
    with pytest.raises(ModelError, match=r"'stages.0.0.spare' of the teacher, which is not called"):
        FeatureMatching(pairs=(Pair(student="stages.2", teacher="stages.0.0.spare"),)).contribute(
            resnet(), bench_of(tmp_path, teacher)
        )


def test_what_has_no_common_form_is_refused(tmp_path: Path) -> None:
    vectors = (Pair(student="head.1", teacher="head.1"),)
    spatial = FeatureMatching(matching="one_to_one", reduce="spatial", pairs=vectors)
    with pytest.raises(ModelError, match="layers with positions"):
        spatial.contribute(resnet(), bench_of(tmp_path, resnet(seed=1)))
    with pytest.raises(ModelError, match="token sequences of one length"):
        FeatureMatching().contribute(as_model(Tokens(6)), bench_of(tmp_path, as_model(Tokens(6, tokens=9))))
    with pytest.raises(ModelError, match="no stages of one kind"):
        FeatureMatching().contribute(resnet(), bench_of(tmp_path, as_model(Tokens(6))))


def test_a_teacher_that_is_a_file_has_no_layers(tmp_path: Path) -> None:
    teacher = dataclasses.replace(teacher_of(resnet()), model=None)
    with pytest.raises(ModelError, match="which is a file"):
        FeatureMatching().contribute(resnet(), Bench(make_task(), 0, tmp_path, CONFIG, (teacher,)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"matching": "one_to_one", "pairs": [{"student": "a", "teacher": "b"}] * 2}, "one pair for matching"),
        ({"matching": "multi_layer", "pairs": [{"student": "a", "teacher": "b"}]}, "several pairs for matching"),
        ({"matching": "adaptive", "reduce": "spatial"}, "need no transform"),
        ({"weight": 0}, "weight"),
        ({"pairs": [{"student": "a", "teacher": "b", "weight": -1}]}, "weight"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        validated(FeatureMatching, options, "phase 1, options.feature_matching")
