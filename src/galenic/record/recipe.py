"""A recipe: a task, a reference, phases in order, a runtime, a gate and a profile. Its file form is TOML.

A phase is at most one training: at most one transform of the model, one objective, any callbacks. A method's own
options are typed by the method's config, which the plan builds; here they are plain values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator

from galenic.record.base import Record
from galenic.record.gate import Floors, Margins
from galenic.record.training import TrainingConfig


class TaskRecipe(Record):
    """Which data. ``options`` are those of the source, as ``galenic tasks`` lists them.

    ``transfer`` names rows without labels for distillation by the teacher alone: ``npz:PATH`` or ``folder:PATH``.
    """

    source: str
    overlap: str = Field(default="refuse", pattern="^(refuse|drop-train)$")
    transfer: str | None = None
    options: Mapping[str, Any] = {}


FILE_PREFIX = "file:"
ENSEMBLE = "ensemble"


class Choice(StrEnum):
    """Which of the last phase's files is judged by the gate."""

    STUDENT = "student"
    BEST = "best"


class ModelRecipe(Record):
    """A model by name (or ``file:PATH``), the weights it starts from, and how it is trained.

    ``training`` is None for a model that is used as it is: a file, or weights that are given.
    ``members`` are those of ``model = "ensemble"``, which answers with the mean of their probabilities. Its ``training``
    is that of each member which names neither weights nor a training.
    """

    model: str
    options: Mapping[str, Any] = {}
    weights: str | None = None
    training: TrainingConfig | None = None
    members: tuple[ModelRecipe, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is a file that a runtime loads."""
        return self.model.startswith(FILE_PREFIX)

    @property
    def title(self) -> str:
        """The model's name, an ensemble's with its members'."""
        return f"{self.model} of {' + '.join(member.title for member in self.members)}" if self.members else self.model

    @property
    def trained_members(self) -> tuple[ModelRecipe, ...]:
        """The members, with the ensemble's training where one has neither weights nor a training."""
        taken = {"training": self.training}
        return tuple(one if one.weights or one.training else one.model_copy(update=taken) for one in self.members)

    @property
    def nets(self) -> int:
        """How many nets this is: one, or all of an ensemble's."""
        return sum(member.nets for member in self.members) if self.members else 1


class PhaseRecipe(Record):
    """One phase: one method (or several that share one training) with its options."""

    method: str | tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]] = {}
    training: TrainingConfig | None = None

    @field_validator("options")
    @classmethod
    def _in_json(cls, options: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        """JSON has no infinity, so it is kept as the text that a number is read from again."""
        return {name: {key: _spelt(value) for key, value in one.items()} for name, one in options.items()}

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of this phase, in order."""
        return (self.method,) if isinstance(self.method, str) else self.method


def _spelt(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _spelt(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelt(inner) for inner in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


class GateRecipe(Record):
    """What is demanded, declared before the run. ``alpha`` is one-sided."""

    margins: Margins = Margins()
    floors: Floors = Floors()
    alpha: float = Field(default=0.025, gt=0, lt=0.5)


class ProbeRecipe(Record):
    """A short look, before the hours are spent, at whether the teacher can help; ``epochs = 0`` leaves it out."""

    epochs: int = Field(default=3, ge=0)


class MeasureRecipe(Record):
    """How latency is measured: counted runs after warm-up, one stream, pinned threads."""

    runs: int = Field(default=1024, ge=20)
    warmup: int = Field(default=50, ge=1)
    threads: int = Field(default=1, ge=1)


class Recipe(Record):
    """One run from a trusted model to a verified file.

    ``teacher``: whom the student learns from, several for methods that mix them; empty means the reference.
    ``choose``: where the last phase yields several files, ``student`` takes what the student became, ``best`` the highest
    AUC on validation among those within the profile's size, and the float file instead of its quantized one where that is slower
    and the profile has room.
    """

    name: str
    seed: int = 0
    threads: int = Field(default=2, ge=1)
    task: TaskRecipe
    reference: ModelRecipe
    teacher: tuple[ModelRecipe, ...] = ()
    student: ModelRecipe | None = None
    phase: tuple[PhaseRecipe, ...] = ()
    choose: Choice = Choice.STUDENT
    runtime: str = "onnxruntime"
    gate: GateRecipe = GateRecipe()
    measure: MeasureRecipe = MeasureRecipe()
    probe: ProbeRecipe = ProbeRecipe()
    profile: str | None = None
