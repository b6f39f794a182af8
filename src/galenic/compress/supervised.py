"""Plain supervised training of a model on the task's labels: the control that every other method is compared with."""

from __future__ import annotations

from typing import ClassVar

from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.record.base import Record
from galenic.zoo.model import Model


class Supervised(Record):
    """Train on the labels alone, a new view of every row in every epoch."""

    name: ClassVar[str] = "supervised"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    def contribute(self, model: Model, bench: Bench) -> Contribution:  # noqa: ARG002 - the protocol's signature
        """Nothing but the model: the label loss is what the loop falls back on."""
        return Contribution(model)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained model."""
        return [train_together([self], model, bench)]
