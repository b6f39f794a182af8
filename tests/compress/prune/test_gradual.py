"""Gradual pruning: when what is due by hand, a training that ends with exactly so many zeros, killed and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from galenic.compress.method import Bench, Contribution, TrainedMethod, train_together
from galenic.compress.prune.gradual import GradualMagnitude, Ramp, update
from galenic.compress.prune.magnitude import MagnitudePruning
from galenic.compress.quantize.qat import QAT
from galenic.compress.schedules import Schedule, Shape
from galenic.compress.thresholds import Threshold
from galenic.exporters.onnxruntime import EXPORTER
from galenic.record.errors import ModelError
from galenic.record.quant import QuantRule, QuantSpec
from galenic.record.training import TrainingConfig
from galenic.training.callbacks import Callback, State
from galenic.zoo.build import build
from galenic.zoo.model import Model, removed_share, weights_hash

CONFIG = TrainingConfig(
    epochs=6, batch_size=16, learning_rate=0.01, weight_decay=0.1, ema_decay=0.9, augment=False, precision="float32",
    memory_format="contiguous",
)  # fmt: skip
"""3 steps an epoch, 18 of them."""
STEPS = 18


def mlp() -> Model:
    """1152 and 16 weights."""
    return build("mlp", (1, 12, 12), 2, options={"hidden": [8]})


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=3, folder=tmp_path / "here", training=CONFIG)


def test_what_is_due_by_hand() -> None:
    """Of 100 steps the ramp is 10 to 50, and every 10 steps something is due: 0.8 (1 - (1 - p)^3)."""
    ramp = Ramp(Schedule(0.0, 0.8, Shape.CUBIC), 0.1, 0.5, 10)
    found = {step: ramp.due(step, 100) for step in range(101)}
    due = {step: value for step, value in found.items() if value is not None}
    assert list(due) == [10, 20, 30, 40, 50]
    assert list(due.values()) == pytest.approx([0, 0.8 * (1 - 27 / 64), 0.8 * 7 / 8, 0.8 * 63 / 64, 0.8])


def test_the_end_is_due_even_where_the_interval_does_not_meet_it() -> None:
    ramp = Ramp(Schedule(0.2, 0.6, Shape.LINEAR), 0.0, 0.5, 4)
    due = [(step, ramp.due(step, 20)) for step in range(20) if ramp.due(step, 20) is not None]
    assert [step for step, _ in due] == [0, 4, 8, 10]
    assert [value for _, value in due] == pytest.approx([0.2, 0.2 + 0.4 * 0.4, 0.2 + 0.4 * 0.8, 0.6])


def test_a_ramp_without_a_step_of_its_own_goes_at_once() -> None:
    ramp = Ramp(Schedule(0.0, 0.6, Shape.CUBIC), 0.5, 0.51, 50)
    assert [ramp.due(step, 4) for step in range(5)] == [None, None, 0.6, None, None]


def test_masks_lose_and_never_gain() -> None:
    mask = torch.tensor([True, True, False, False])
    masks = {"a": mask}
    update(masks, {"a": torch.tensor([True, False, True, False])})
    assert masks["a"] is mask
    assert mask.tolist() == [True, False, False, False]


class Watching:
    """Shares the training, contributes nothing and keeps where weights are not zero in every step, and after it."""

    name, version, trains, rule, needs_teacher = "watching", 1, True, None, ""

    def __init__(self) -> None:
        self.used: list[dict[str, Tensor]] = []
        self.alive: list[dict[str, Tensor]] = []

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        def alive(state: State) -> dict[str, Tensor]:
            weights = {name: one for name, one in state.model.named_parameters() if name.endswith("weight")}
            return {name: one.detach() != 0 for name, one in weights.items()}

        callback = Callback(
            gradients_ready=lambda state: self.used.append(alive(state)),
            step_taken=lambda state: self.alive.append(alive(state)),
        )
        return Contribution(model, callbacks=(callback,))

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        raise NotImplementedError


def shares(alive: list[dict[str, Tensor]]) -> list[float]:
    return [1 - sum(int(m.sum()) for m in one.values()) / sum(m.numel() for m in one.values()) for one in alive]


def test_it_removes_along_the_ramp_and_nothing_comes_back(bench: Bench) -> None:
    watching, start = Watching(), mlp()
    before = weights_hash(start)
    method = GradualMagnitude(sparsity=0.75, begin=0.2, end=0.7, every_steps=3)
    methods: list[TrainedMethod] = [method, watching]
    made = train_together(methods, start, bench)
    assert weights_hash(start) == before
    assert len(watching.alive) == STEPS
    for earlier, later in zip(watching.alive, watching.alive[1:], strict=False):
        assert not any((later[name] & ~earlier[name]).any() for name in later)
    # the ramp is steps 4 to 13: after step 6 is before step 7, p = 3 / 9 ...
    at = {7: 0.75 * (1 - (6 / 9) ** 3), 10: 0.75 * (1 - (3 / 9) ** 3), 13: 0.75}
    found, last = shares(watching.alive), 0.0
    for step in range(1, STEPS + 1):
        last = at.get(step, last)
        assert found[step - 1] == pytest.approx(last, abs=0.5 / 1168), step
    assert sum(int((made.module.get_parameter(n) == 0).sum()) for n in made.sparsity.parameters) == 876
    assert removed_share(made) == 0.75
    for name, alive in watching.alive[-1].items():
        assert torch.equal(made.module.get_parameter(name) != 0, alive), "the average is masked like the weights"


def test_what_goes_at_once_is_gone_in_the_first_step(bench: Bench) -> None:
    for method, share in ((GradualMagnitude(sparsity=0.75, initial=0.25), 0.25), (GradualMagnitude(begin=0.5), 0.0)):
        watching = Watching()
        folder = bench.folder / str(share)
        train_together([method, watching], mlp(), replace(bench, folder=folder))  # type: ignore[list-item]
        assert shares(watching.used)[0] == share


@pytest.mark.parametrize("threshold", list(Threshold))
def test_every_threshold_ends_at_its_share(threshold: Threshold, bench: Bench) -> None:
    method = GradualMagnitude(sparsity=0.5, threshold=threshold, every_steps=2)
    (made,) = method.apply(mlp(), bench)
    assert removed_share(made) == pytest.approx(0.5, abs=1e-3)
    assert made.lineage == ("mlp", "gradual_magnitude")
    assert made.sparsity.parameters == ("features.1.weight", "classifier.weight")
    assert 0.5 < made.sparsity.training_flops < 1
    left = {name: made.module.get_parameter(name) != 0 for name in made.sparsity.parameters}
    body, head = left.values()
    if threshold is Threshold.UNIFORM:
        assert (int(body.sum()), int(head.sum())) == (576, 8)
    if threshold is Threshold.ERK:  # sides 152 and 10: 584 / 162 of 10 are more than 16
        assert (int(body.sum()), int(head.sum())) == (568, 16)
    if threshold is Threshold.TOP_K:
        assert (body.sum(dim=1).tolist(), head.sum(dim=1).tolist()) == ([72] * 8, [4, 4])


def test_what_it_costs_follows_the_ramp(bench: Bench) -> None:
    """Half at once, and before the first step: half of the products of every step."""
    early = GradualMagnitude(sparsity=0.501, initial=0.5, end=0.99, threshold=Threshold.UNIFORM, every_steps=1)
    (made,) = early.apply(mlp(), bench)
    assert made.sparsity.training_flops == pytest.approx(0.5, abs=2e-3)
    late = GradualMagnitude(sparsity=0.5, begin=0.9, end=0.95, every_steps=1)
    (made,) = late.apply(mlp(), replace(bench, folder=bench.folder / "late"))
    assert 0.9 < made.sparsity.training_flops < 1


def test_layers_that_are_kept_lose_nothing(bench: Bench) -> None:
    (made,) = GradualMagnitude(sparsity=0.75, keep=("classifier",), every_steps=1).apply(mlp(), bench)
    assert (made.module.classifier.weight != 0).all()
    assert (made.module.features[1].weight == 0).sum() == 864
    assert made.sparsity.parameters == ("features.1.weight",)


def test_what_was_removed_before_counts_and_stays(bench: Bench) -> None:
    (first,) = MagnitudePruning(sparsity=0.4).apply(mlp(), bench)
    (made,) = GradualMagnitude(sparsity=0.75, every_steps=2).apply(first, bench)
    assert removed_share(made) == 0.75
    for name in first.sparsity.parameters:
        assert (made.module.get_parameter(name)[first.module.get_parameter(name) == 0] == 0).all()
    assert made.lineage == ("mlp", "magnitude", "gradual_magnitude")


class Killed(Exception):
    """Stands for a kill."""


class Bomb(Watching):
    """Kills the training after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        def go_off(state: State) -> None:
            if state.step == self.step:
                raise Killed

        return Contribution(model, callbacks=(Callback(step_taken=go_off),))


def alike(one: Model, other: Model) -> None:
    assert one.sparsity == other.sparsity
    for name, tensor in one.module.state_dict().items():
        assert torch.equal(tensor, other.module.state_dict()[name]), name


@pytest.mark.parametrize("before", [0.0, 0.4])
@pytest.mark.parametrize("step", [2, 7, 10])
def test_a_training_that_is_killed_within_an_epoch_goes_on_to_the_same_model(
    step: int, before: float, bench: Bench
) -> None:
    """An epoch has 3 steps and the ramp is steps 0 to 14."""
    start = mlp()
    if before:
        (start,) = MagnitudePruning(sparsity=before).apply(start, bench)
    method = GradualMagnitude(sparsity=0.75, initial=0.1, every_steps=2, end=0.8)
    (whole,) = method.apply(start, replace(bench, folder=bench.folder / "whole"))
    live: list[TrainedMethod] = [method, Bomb(step)]
    dud: list[TrainedMethod] = [method, Bomb(-1)]
    with pytest.raises(Killed):
        train_together(live, start, bench)
    seen: list[int] = []
    told = replace(bench, progress=lambda work, done, total, note="": seen.append(done))
    made = train_together(dud, start, told)
    assert seen == list(range(step // 3, 7)), "from the last epoch that was finished"
    alike(whole, made)
    assert removed_share(made) == 0.75


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_a_training_that_is_killed_on_its_ramp_goes_on_to_the_same_model(ema: float, bench: Bench) -> None:
    method = GradualMagnitude(sparsity=0.75, initial=0.1, every_steps=2, end=0.8)
    bench = replace(bench, training=CONFIG.model_copy(update={"ema_decay": ema}))
    (whole,) = method.apply(mlp(), replace(bench, folder=bench.folder / "whole"))

    def until(epoch: int):
        def told(work: str, done: int, total: int, note: str = "") -> None:
            if done >= epoch:
                raise Killed

        return told

    seen: list[int] = []
    for epoch in (2, 3):
        with pytest.raises(Killed):
            method.apply(mlp(), replace(bench, progress=until(epoch)))
    (made,) = method.apply(mlp(), replace(bench, progress=lambda work, done, total, note="": seen.append(done)))
    assert seen == [3, 4, 5, 6]
    alike(whole, made)


def test_models_and_options_that_are_impossible_are_refused(bench: Bench) -> None:
    quantized = replace(mlp(), quant=QuantSpec(rule=QuantRule()))
    with pytest.raises(ModelError, match="gradual_magnitude of a model that is quantized"):
        GradualMagnitude().refuse_model(quantized)
    with pytest.raises(ModelError, match="gradual_magnitude of a model that is quantized"):
        GradualMagnitude().apply(quantized, bench)
    with pytest.raises(ModelError, match="keep = 'head'"):
        GradualMagnitude(keep=("head",)).apply(mlp(), bench)
    for wrong in ({"initial": 0.8}, {"begin": 0.7}, {"shape": "constant"}, {"sparsity": 1.0}, {"every_steps": 0}):
        with pytest.raises(ValidationError):
            GradualMagnitude.model_validate(wrong)
    assert isinstance(GradualMagnitude(), TrainedMethod)


def test_pruned_and_quantized_in_one_training_it_is_exported_with_its_zeros(bench: Bench, tmp_path: Path) -> None:
    """The average of the weights has traces of removed ones: they are gone before integers are found for it."""
    (gradual, qat) = GradualMagnitude(sparsity=0.6, every_steps=1), QAT()
    made = train_together([gradual, qat], mlp(), bench)
    assert made.quant is not None
    assert made.quant.weights_hash == weights_hash(made)
    assert removed_share(made) == pytest.approx(0.6, abs=0.01)
    artifact = EXPORTER.export(
        made, tmp_path / "model.onnx", preprocessing=bench.task.preprocessing, classes=bench.task.classes
    )
    assert artifact.integer_ops is not None
    assert artifact.integer_ops.integer == 2


def test_a_step_counts_with_the_masks_that_it_has(bench: Bench) -> None:
    """Two steps, the first dense and the second of half the weights: (3 f + 3 f / 2) / 6 f."""
    training = CONFIG.model_copy(update={"epochs": 2, "batch_size": 48, "ema_decay": 0.0})
    method = GradualMagnitude(sparsity=0.5, begin=0.4, end=0.5, threshold=Threshold.UNIFORM, every_steps=1)
    (made,) = method.apply(mlp(), replace(bench, training=training))
    assert made.sparsity is not None
    assert made.sparsity.training_flops == pytest.approx(0.75)


def test_named_after_aware_training_it_says_which_comes_first(bench: Bench) -> None:
    with pytest.raises(ModelError, match="name the method that prunes first"):
        train_together([QAT(), GradualMagnitude()], mlp(), bench)
