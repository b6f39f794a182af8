"""A recipe: a task, a reference, phases in order, a runtime, a gate and a profile. Its file form is TOML.

A phase is at most one training: at most one transform of the model, one objective, any callbacks. A method's own
options are typed by the method's config, which the plan builds; here they are plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from galenic.record.base import Record
from galenic.record.gate import Floors, Margins
from galenic.record.training import TrainingConfig


class TaskRecipe(Record):
    """Which data. ``options`` are those of the source, as ``galenic tasks`` lists them."""

    source: str
    overlap: str = Field(default="refuse", pattern="^(refuse|drop-train)$")
    options: Mapping[str, Any] = {}


class ModelRecipe(Record):
    """A model by name (or ``file:PATH``), the weights it starts from, and how it is trained.

    ``training`` is None for a model that is used as it is: a file, or weights that are given.
    """

    model: str
    options: Mapping[str, Any] = {}
    weights: str | None = None
    training: TrainingConfig | None = None


class PhaseRecipe(Record):
    """One phase: one method (or several that share one training) with its options."""

    method: str | tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]] = {}
    training: TrainingConfig | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of this phase, in order."""
        return (self.method,) if isinstance(self.method, str) else self.method


class GateRecipe(Record):
    """What is demanded, declared before the run. ``alpha`` is one-sided."""

    margins: Margins = Margins()
    floors: Floors = Floors()
    alpha: float = Field(default=0.025, gt=0, lt=0.5)


class MeasureRecipe(Record):
    """How latency is measured: counted runs after warm-up, one stream, pinned threads."""

    runs: int = Field(default=1024, ge=20)
    warmup: int = Field(default=50, ge=1)
    threads: int = Field(default=1, ge=1)


class Recipe(Record):
    """One run from a trusted model to a verified file."""

    name: str
    seed: int = 0
    threads: int = Field(default=2, ge=1)
    task: TaskRecipe
    reference: ModelRecipe
    student: ModelRecipe | None = None
    phase: tuple[PhaseRecipe, ...] = ()
    runtime: str = "onnxruntime"
    gate: GateRecipe = GateRecipe()
    measure: MeasureRecipe = MeasureRecipe()
    profile: str | None = None
