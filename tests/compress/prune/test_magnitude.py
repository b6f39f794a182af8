"""Pruning in one shot: which weights go by hand, the drawn control, pruning twice, refusals; and zeros that stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from pydantic import ValidationError
from torch import nn

from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench, Method, Teacher, TrainedMethod, train_together
from galenic.compress.prune.magnitude import MagnitudePruning, WeightScore, prune_magnitude, scores
from galenic.compress.quantize.adaround import AdaRound
from galenic.compress.quantize.int4 import StaticW4A8
from galenic.compress.quantize.qat import QAT
from galenic.compress.quantize.static_int8 import StaticInt8
from galenic.compress.quantize.weights import scales_of
from galenic.compress.supervised import Supervised
from galenic.compress.thresholds import Threshold
from galenic.exporters.onnxruntime import EXPORTER
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.quant import QuantRule, QuantSpec, TensorRole
from galenic.record.sparsity import Sparsity
from galenic.record.training import TrainingConfig
from galenic.zoo.graph import folded
from galenic.zoo.model import Model, removed_share, weights_hash

CONFIG = TrainingConfig(
    epochs=2, batch_size=16, learning_rate=0.02, weight_decay=0.1, ema_decay=0.9, augment=False, precision="float32",
    memory_format="contiguous",
)  # fmt: skip


def dense() -> Model:
    """Two dense layers with known weights."""
    net = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.1, 0.9, -0.2, 0.5], [-0.8, 0.05, 0.6, -0.3]]))
        net[2].weight.copy_(torch.tensor([[-2.0, 0.4], [0.15, 1.0]]))
    return Model(net.eval(), ModelSpec(architecture="net", input_shape=(4,), outputs=2), ("net",))


def images() -> Model:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8)]
    module = nn.Sequential(*body, nn.ReLU(), nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))
    for _ in range(3):
        module(torch.randn(16, 1, 12, 12))
    return Model(module.eval(), ModelSpec(architecture="net", input_shape=(1, 12, 12), outputs=2), ("net",))


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=0, folder=tmp_path, training=CONFIG)


def weights(model: Model) -> list[list[list[float]]]:
    return [model.module[n].weight.detach().numpy().round(4).tolist() for n in (0, 2)]


def test_the_smallest_weights_go_and_the_model_is_left_as_it_was(bench: Bench) -> None:
    """|w| in order: 0.05 0.1 0.15 0.2 0.3 0.4 0.5 0.6 0.8 0.9 1 2; half of 12 are gone."""
    start = dense()
    before = weights_hash(start)
    (made,) = MagnitudePruning(sparsity=0.5).apply(start, bench)
    expected = [[[0, 0.9, 0, 0.5], [-0.8, 0, 0.6, 0]], [[-2.0, 0], [0, 1.0]]]
    np.testing.assert_allclose(weights(made)[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(weights(made)[1], expected[1], atol=1e-6)
    assert made.lineage == ("net", "magnitude")
    assert made.sparsity == Sparsity(parameters=("0.weight", "2.weight"))
    assert removed_share(made) == 0.5
    assert torch.equal(made.module[0].bias, start.module[0].bias)
    assert (weights_hash(start), start.sparsity, start.lineage) == (before, None, ("net",))


@pytest.mark.parametrize(
    ("threshold", "gone"),
    [
        (Threshold.GLOBAL, ([0, 2, 5], [2])),
        (Threshold.UNIFORM, ([0, 2, 5], [2])),
        (Threshold.ERK, ([0, 2, 5], [2])),  # 8 for 6 + 4 sides: 4.8 of 8, 3.2 of 4
        (Threshold.TOP_K, ([0, 5], [1, 2])),  # 3 of 4 inputs, 1 of 2
        (Threshold.DEVIATION, ([0, 5], [1, 2])),  # 0.525 and 1.138: 0.2 is worth 0.381, and 0.4 of the second 0.351
    ],
)
def test_a_third_goes_by_the_threshold(threshold: Threshold, gone: tuple[list[int], list[int]], bench: Bench) -> None:
    (made,) = MagnitudePruning(sparsity=1 / 3, threshold=threshold).apply(dense(), bench)
    found = [(made.module[n].weight.flatten() == 0).nonzero().flatten().tolist() for n in (0, 2)]
    assert found == list(gone)


def test_layers_that_are_kept_lose_nothing_and_count_for_nothing(bench: Bench) -> None:
    (made,) = MagnitudePruning(sparsity=0.75, keep=("2",)).apply(dense(), bench)
    assert (made.module[0].weight != 0).int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert torch.equal(made.module[2].weight, dense().module[2].weight)
    assert made.sparsity == Sparsity(parameters=("0.weight",))


def test_the_drawn_control_removes_as_many_others(bench: Bench) -> None:
    start = images()
    by_size, drawn = (
        MagnitudePruning(sparsity=0.5, threshold=Threshold.DEVIATION, score=score) for score in WeightScore
    )
    (small,), (first,), (again,) = (method.apply(start, bench) for method in (by_size, drawn, drawn))
    (other,) = drawn.apply(start, replace(bench, seed=1))
    made = (small, first, other)
    assert len({sum(int((w == 0).sum()) for w in one.module.parameters()) for one in made}) == 1
    assert removed_share(first) == pytest.approx(0.5, abs=1e-3)
    assert weights_hash(first) == weights_hash(again)
    assert len({weights_hash(one) for one in made}) == 3
    left = [
        sum(float(one.module.get_parameter(n).detach().abs().sum()) for n in one.sparsity.parameters) for one in made
    ]
    assert left[0] > 1.2 * max(left[1:])


def test_scores_by_hand() -> None:
    weight = {"a": torch.tensor([0.1, 0.9, -0.2, 0.5]), "b": torch.tensor([-3.0, 0.0])}
    masks = {"a": torch.tensor([True, False, True, True]), "b": torch.ones(2, dtype=torch.bool)}
    found = scores(weight, masks, WeightScore.MAGNITUDE, torch.Generator())
    assert found["a"].tolist() == pytest.approx([0.1, -torch.inf, 0.2, 0.5])
    assert found["b"].tolist() == [3.0, 0.0]
    drawn = scores(weight, masks, WeightScore.RANDOM, torch.Generator().manual_seed(0))
    assert drawn["a"][1] == -torch.inf
    assert all(0 <= value < 1 for value in drawn["a"][[0, 2, 3]])


def test_a_second_pruning_counts_the_first_and_brings_nothing_back(bench: Bench) -> None:
    (half,) = MagnitudePruning(sparsity=0.5, score=WeightScore.RANDOM).apply(dense(), bench)
    (more,) = MagnitudePruning(sparsity=0.75).apply(half, bench)
    assert more.lineage == ("net", "magnitude", "magnitude")
    assert removed_share(more) == 0.75
    left = torch.cat([w.flatten() for w in (half.module[0].weight, half.module[2].weight)]).detach()
    kept = torch.cat([w.flatten() for w in (more.module[0].weight, more.module[2].weight)]).detach()
    assert (kept[left == 0] == 0).all()
    assert sorted(kept[kept != 0].abs().tolist()) == sorted(left.abs().tolist())[-3:]
    (less,) = MagnitudePruning(sparsity=0.25).apply(half, bench)
    assert weights_hash(less) == weights_hash(half), "0.25 are gone already"
    (drawn,) = MagnitudePruning(sparsity=0.75, score=WeightScore.RANDOM).apply(half, replace(bench, seed=5))
    assert removed_share(drawn) == 0.75, "draws among those that are left"
    assert torch.equal(drawn.module[0].weight != 0, (drawn.module[0].weight != 0) & (half.module[0].weight != 0))
    (other,) = MagnitudePruning(sparsity=0.5, keep=("0",)).apply(half, bench)
    assert other.sparsity == Sparsity(parameters=("0.weight", "2.weight"))


def test_quantized_models_patterns_of_nothing_and_shares_out_of_range_are_refused(bench: Bench) -> None:
    quantized = replace(dense(), quant=QuantSpec(rule=QuantRule()))
    for refuse in (
        lambda: MagnitudePruning().refuse_model(quantized),
        lambda: MagnitudePruning().apply(quantized, bench),
    ):
        with pytest.raises(ModelError, match="of a model that is quantized"):
            refuse()
    with pytest.raises(ModelError, match="keep = 'head'"):
        MagnitudePruning(keep=("head",)).refuse_model(dense())
    small = dense()
    small.module[2].weight.data.mul_(1e-3)
    with pytest.raises(ModelError, match=r"takes all 4 weights of 2\.weight"):
        prune_magnitude(small, 0.5, Threshold.GLOBAL, WeightScore.MAGNITUDE)
    for share in (0.0, 1.0):
        with pytest.raises(ValidationError):
            MagnitudePruning(sparsity=share)
    assert isinstance(MagnitudePruning(), Method)
    assert not isinstance(MagnitudePruning(), TrainedMethod)


def pruned(bench: Bench) -> Model:
    (made,) = MagnitudePruning(sparsity=0.6, threshold=Threshold.UNIFORM).apply(images(), bench)
    assert removed_share(made) == pytest.approx(0.6, abs=0.01)
    return made


def check_zeros(made: Model, before: Model, least: float) -> None:
    """What was zero is zero, and of what was not this share is not."""
    assert made.sparsity is not None
    assert made.sparsity.parameters == before.sparsity.parameters
    for name in before.sparsity.parameters:
        zero = before.module.get_parameter(name) == 0
        weight = made.module.get_parameter(name)
        assert zero.any()
        assert (weight[zero] == 0).all(), name
        assert (weight[~zero] != 0).float().mean() >= least, name


def test_a_fine_tuning_leaves_zeros_and_moves_the_others(bench: Bench) -> None:
    start = pruned(bench)
    (made,) = Supervised().apply(start, bench)
    check_zeros(made, start, least=1)
    zero = start.module[8].weight == 0
    assert (made.module[8].weight[~zero] != start.module[8].weight[~zero]).all()
    loose = train_together([Supervised()], replace(start, sparsity=None), replace(bench, folder=bench.folder / "loose"))
    assert (loose.module[8].weight[zero] != 0).any(), "zeros that nobody names are trained"


def check_grids(made: Model) -> None:
    """Every pruned weight is an integer of its bits times its channel's scale."""
    assert made.quant is not None
    points = {f"{p.tensor}.weight": p for p in made.quant.points if p.role is TensorRole.WEIGHT}
    assert set(points) == set(made.sparsity.parameters)
    for name, point in points.items():
        rows = made.module.get_parameter(name).detach().flatten(1)
        integers = rows / scales_of(point, len(rows))
        torch.testing.assert_close(integers, integers.round(), atol=1e-4, rtol=0)
        assert 0 < integers.abs().max() <= 2 ** (point.bits - 1) - 1 + 1e-4


def teacher(bench: Bench) -> Teacher:
    def predict(inputs: np.ndarray) -> np.ndarray:
        difference = 8 * (inputs[:, 0, :, :6].mean(axis=(1, 2)) - inputs[:, 0, :, 6:].mean(axis=(1, 2)) - 0.6)
        return np.stack([-difference, difference], axis=1).astype(np.float32)

    return Teacher("rule", "0" * 64, bench.task.classes, predict)


@pytest.mark.parametrize("bits", [8, 4])
def test_zeros_stay_in_a_distillation_that_is_aware_of_integers(bits: int, bench: Bench, tmp_path: Path) -> None:
    start = pruned(bench)
    made = train_together([SoftTarget(), QAT(weight_bits=bits)], start, replace(bench, teachers=(teacher(bench),)))
    check_zeros(made, start, least=0.3)
    check_grids(made)
    assert made.quant.weights_hash == weights_hash(made)
    assert made.lineage == ("net", "magnitude", "soft_target", "qat")


@pytest.mark.parametrize(
    "method",
    [StaticInt8(equalise=True, correct_bias=True), StaticW4A8(adaround=AdaRound(steps=30, rows=32))],
    ids=["int8", "adaround"],
)
def test_zeros_stay_where_integers_are_calibrated(method: Method, bench: Bench) -> None:
    start = pruned(bench)
    (made,) = method.apply(start, bench)
    check_zeros(made, start, least=0.3)
    check_grids(made)
    assert not torch.equal(made.module[8].weight, start.module[8].weight), "something was rounded"


def test_zeros_are_in_the_exported_file_at_the_same_places(bench: Bench, tmp_path: Path) -> None:
    start = pruned(bench)
    artifact = EXPORTER.export(
        start, tmp_path / "net.onnx", preprocessing=bench.task.preprocessing, classes=bench.task.classes
    )
    stored = {i.name: numpy_helper.to_array(i) for i in onnx.load(str(artifact.path)).graph.initializer}
    plain, _ = folded(start)
    for name in start.sparsity.parameters:
        zero = (start.module.get_parameter(name) == 0).numpy()
        assert (plain.module.get_parameter(name).detach().numpy() == 0)[zero].all()
        alike = [array for array in stored.values() if array.shape in (zero.shape, zero.T.shape) and array.ndim > 1]
        assert alike, name
        places = [array == 0 if array.shape == zero.shape else (array == 0).T for array in alike]
        assert any((place == zero).all() for place in places), name
