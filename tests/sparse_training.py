"""Tiny sparse trainings that are watched step by step, or killed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from galenic.compress.method import Bench, Contribution, TrainedMethod, train_together
from galenic.record.training import TrainingConfig
from galenic.training.callbacks import Callback, State
from galenic.training.objective import Pass
from galenic.zoo.build import build
from galenic.zoo.model import Model

CONFIG = TrainingConfig(
    epochs=6, batch_size=16, learning_rate=0.01, weight_decay=0.1, ema_decay=0.9, augment=False, precision="float32",
    memory_format="contiguous",
)  # fmt: skip
"""3 steps an epoch of 48 rows, 18 of them."""
STEPS = 18


def mlp(hidden: tuple[int, ...] = (8,), classes: int = 2) -> Model:
    """1152 and 16 weights."""
    return build("mlp", (1, 12, 12), classes, options={"hidden": list(hidden)})


@dataclass(frozen=True)
class Seen:
    """One step: all parameters and masks before and after it, and what the classifier's gradient is by hand."""

    before: dict[str, Tensor]
    masks_before: dict[str, Tensor]
    gradient: Tensor
    after: dict[str, Tensor]
    masks_after: dict[str, Tensor]


def copies(tensors: Any) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in dict(tensors).items()}


class Watched:
    """A sparse training with masks, every step of which is kept. The gradient is right for a net of one layer."""

    layers, own, label_weight = (), None, None

    def __init__(self, inner: Any) -> None:
        self.inner, self.steps = inner, list[Seen]()
        self.name, self.version, self.trains, self.needs_teacher, self.rule = inner.name, 1, True, "", None

    def loss(self, seen: Pass) -> Tensor:
        """Nothing to minimise: mean of (softmax - one hot) x is what the label loss has for a gradient."""
        logits, labels = seen.logits.detach(), seen.batch.labels
        wrong = torch.softmax(logits, dim=1) - torch.eye(logits.shape[1])[labels]
        self._gradient = wrong.T @ seen.batch.inputs.flatten(1) / len(labels)
        return logits.new_zeros(())

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        given = self.inner.contribute(model, bench)
        masks = given.callbacks[1].remembered

        def before(state: State) -> None:
            self._before = copies(state.model.named_parameters()), copies(masks)

        def after(state: State) -> None:
            now = copies(state.model.named_parameters()), copies(masks)
            self.steps.append(Seen(*self._before, self._gradient, *now))

        callbacks = (Callback(gradients_ready=before), *given.callbacks, Callback(step_taken=after))
        return replace(given, terms=(*given.terms, self), callbacks=callbacks)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        return [train_together([self], model, bench)]  # type: ignore[list-item]


class Killed(Exception):
    """Stands for a kill."""


class Killer:
    """Kills the training that it shares once it has taken so many steps."""

    name, version, trains, rule, needs_teacher = "killer", 1, True, None, ""

    def __init__(self, step: int) -> None:
        self.step = step

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        def kill(state: State) -> None:
            if state.step >= self.step:
                raise Killed

        return Contribution(model, callbacks=(Callback(step_taken=kill),))

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        raise NotImplementedError


def killed_twice(method: TrainedMethod, bench: Bench) -> Model:
    """Trained to the end after it was killed behind epoch 2 and again within epoch 4."""
    told: list[int] = []

    def until(work: str, done: int, total: int, note: str = "") -> None:
        if done >= 2:
            raise Killed

    for methods, progress in (([method], until), ([method, Killer(11)], lambda *_: None)):
        try:
            train_together(methods, mlp(), replace(bench, progress=progress))
        except Killed:
            continue
        raise AssertionError("it was not killed")
    last = replace(bench, progress=lambda work, done, total, note="": told.append(done))
    (made,) = method.apply(mlp(), last)
    assert told == [3, 4, 5, 6], "it goes on from epoch 3"
    return made


def same_bits(one: Model, other: Model) -> bool:
    first, second = one.module.state_dict(), other.module.state_dict()
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def smallest(values: dict[int, float], count: int) -> set[int]:
    """The places of so many of the least values, the last of equal ones first."""
    return set(sorted(values, key=lambda place: (values[place], -place))[:count])
