"""Four hard fits of the Method protocol, prototyped before it was frozen (docs/adr/0002).

    regressors      distillation whose own weights are trained with the student and then dropped
    aware training  observers and fake quantizers that live through the training and are gone afterwards
    RigL            dense gradients, a mask that moves, momentum that is reset for grown weights
    a budget        pruning until a measured cost is low enough
They are as small as shows the fit; the real methods are later work.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from galenic.compress.method import Bench, Contribution, Method, TeacherNeed, TrainedMethod, train_together
from galenic.compress.supervised import Supervised
from galenic.record.errors import RecipeError
from galenic.record.measurement import Measurement
from galenic.record.model import ModelSpec
from galenic.record.training import TrainingConfig
from galenic.training.callbacks import Callback, State
from galenic.training.objective import Pass
from galenic.zoo.model import Model

CONFIG = TrainingConfig(
    epochs=3, batch_size=16, learning_rate=0.01, augment=False, precision="float32", memory_format="contiguous"
)


def net(width: int) -> nn.Module:
    torch.manual_seed(width)
    return nn.Sequential(nn.Flatten(), nn.Linear(144, width), nn.ReLU(), nn.Linear(width, 2))


def model(width: int = 8) -> Model:
    return Model(net(width).eval(), ModelSpec(architecture="net", input_shape=(1, 12, 12), outputs=2), ("net",))


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=0, folder=tmp_path, training=CONFIG)


class Trained:
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        return [train_together([self], model, bench)]  # type: ignore[list-item]


class Regressed(Trained):
    """Match a wider teacher's hidden layer through a linear map that is trained and dropped."""

    name = "regressed"

    def __init__(self) -> None:
        self.teacher, self.regressor = net(16), nn.Linear(8, 16)

    layers = ("2",)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        return Contribution(model, terms=(self,))

    @property
    def own(self) -> nn.Module:
        return self.regressor

    def loss(self, seen: Pass) -> Tensor:
        with torch.no_grad():
            target = self.teacher[:3](seen.batch.inputs)
        return (self.regressor(seen.layers["2"]) - target).square().mean()


class FakeQuantized(nn.Module):
    """A range observed in training mode, frozen when told, and rounding to 255 steps of it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("top", torch.zeros(()))
        self.register_buffer("frozen", torch.zeros((), dtype=torch.bool))

    def forward(self, inputs: Tensor) -> Tensor:
        values = self.inner(inputs)
        if self.training and not self.frozen:
            self.top.copy_(torch.maximum(self.top, values.detach().abs().max()))
        step = (self.top / 127).clamp_min(1e-8)
        rounded = (values / step).round().clamp(-127, 127) * step
        return values + (rounded - values).detach()


class Aware(Trained):
    name = "aware"

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        module = model.module
        module[1] = FakeQuantized(module[1])

        def freeze(state: State) -> None:
            if state.epoch == state.epochs - 1:
                state.model[1].frozen.fill_(True)

        def strip(trained: Model) -> Model:
            assert trained.module[1].top > 0
            assert trained.module[1].frozen
            trained.module[1] = trained.module[1].inner
            return trained

        return Contribution(replace(model, module=module), callbacks=(Callback(epoch_starts=freeze),), finish=strip)


class Rigged(Trained):
    """Half of one layer's weights; every epoch the smallest eighth is swapped for the largest dense gradients."""

    name = "rigl"

    def __init__(self) -> None:
        self.grown = 0

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        weight = model.module[1].weight
        mask = (torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5).float()
        self.mask = mask

        def hold(state: State) -> None:
            with torch.no_grad():
                state.model[1].weight.mul_(mask)

        def move(state: State) -> None:
            layer = state.model[1].weight
            if state.step % 3 != 2:
                return
            assert (layer.grad[mask == 0] != 0).any(), "gradients are dense"
            count = int(mask.sum()) // 8
            drop = torch.where(mask > 0, layer.detach().abs(), torch.inf).flatten().argsort()[:count]
            grow = torch.where(mask > 0, -torch.inf, layer.grad.abs()).flatten().argsort(descending=True)[:count]
            mask.view(-1)[drop], mask.view(-1)[grow] = 0.0, 1.0
            moments = state.optimizer.state[layer]
            for name in ("exp_avg", "exp_avg_sq"):
                if name in moments:
                    moments[name].view(-1)[grow] = 0.0
            self.grown += count

        callback = Callback(epoch_starts=hold, gradients_ready=move, step_taken=hold, remembered={"mask": mask})
        return Contribution(model, callbacks=(callback,))


class ToBudget:
    """Halve the hidden layer until the measured cost is within the budget; every size on the way is kept."""

    name: ClassVar[str] = "to_budget"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    def __init__(self, budget: float) -> None:
        self.budget = budget

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        assert bench.cost is not None
        made = [model]
        while bench.cost(made[-1]).value > self.budget:
            width = made[-1].module[1].out_features // 2
            kept = made[-1].module[1].weight.detach().norm(dim=1).argsort(descending=True)[:width]
            smaller = net(width)
            with torch.no_grad():
                smaller[1].weight.copy_(made[-1].module[1].weight[kept])
                smaller[3].weight.copy_(made[-1].module[3].weight[:, kept])
            made.append(replace(made[-1], module=smaller, lineage=(*made[-1].lineage, self.name)))
        return made[1:]


def test_regressors_are_trained_and_dropped(bench: Bench) -> None:
    method = Regressed()
    before = method.regressor.weight.detach().clone()
    start = model()
    (student,) = method.apply(start, bench)
    assert not torch.equal(before, method.regressor.weight)
    assert student.module.state_dict().keys() == start.module.state_dict().keys()
    assert student.lineage == ("net", "regressed")


def test_observers_live_through_the_training_and_are_gone_afterwards(bench: Bench) -> None:
    start = model()
    (trained,) = Aware().apply(start, bench)
    assert isinstance(trained.module[1], nn.Linear)
    assert isinstance(start.module[1], nn.Linear), "the given model is left as it was"
    assert not torch.equal(trained.module[1].weight, start.module[1].weight)


def test_a_moving_mask_sees_dense_gradients_and_keeps_its_density(bench: Bench) -> None:
    method = Rigged()
    (sparse,) = method.apply(model(), bench)
    assert method.grown > 0
    weight = sparse.module[1].weight
    assert (weight[method.mask == 0] == 0).all()
    assert (weight != 0).sum() == method.mask.sum()


def test_pruning_to_a_measured_budget_yields_the_family(bench: Bench) -> None:
    def parameters(one: Model) -> Measurement:
        count = float(sum(p.numel() for p in one.module.parameters()))
        return Measurement(value=count, unit="parameters", low=count, high=count, n=1)

    family = ToBudget(400).apply(model(8), replace(bench, cost=parameters))
    assert [one.module[1].out_features for one in family] == [4, 2]
    assert parameters(family[-1]).value <= 400 < parameters(family[0]).value
    assert family[-1].module(torch.zeros(1, 1, 12, 12)).shape == (1, 2)


def test_distillation_during_aware_training_is_one_phase(bench: Bench) -> None:
    together = train_together([Aware(), Regressed()], model(), bench)  # type: ignore[list-item]
    assert together.lineage == ("net", "aware", "regressed")
    assert isinstance(together.module[1], nn.Linear)


class Weighing(Trained):
    name = "weighing"

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        return Contribution(model, label_weight=self.weight)


def test_two_methods_that_weigh_the_labels_differently_are_refused(bench: Bench) -> None:
    with pytest.raises(RecipeError, match="disagree on what the labels weigh"):
        train_together([Weighing(0.1), Weighing(0.9)], model(), bench)  # type: ignore[list-item]


def test_the_prototypes_are_methods() -> None:
    assert isinstance(Supervised(), TrainedMethod)
    assert isinstance(Rigged(), TrainedMethod)
    assert isinstance(ToBudget(1), Method)
    assert not isinstance(ToBudget(1), TrainedMethod)
