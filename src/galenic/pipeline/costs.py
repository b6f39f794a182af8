"""What a model costs in the runtime that it will ship in, for methods that work to a budget: its file is made and measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from galenic.pipeline.file_stages import export_stage, measure_stage
from galenic.pipeline.setting import Setting
from galenic.record.measurement import Measurement, Place
from galenic.record.recipe import MeasureRecipe
from galenic.runtimes.place import machine_name
from galenic.zoo.model import Model


@dataclass(frozen=True)
class LatencyCost:
    """The median milliseconds of one answer, as a run measures its files."""

    setting: Setting
    runtime: str
    measure: MeasureRecipe = field(default_factory=MeasureRecipe)

    def __call__(self, model: Model) -> Measurement:
        """Export the model, or read from the store what was measured of it."""
        measured = measure_stage(self.setting, export_stage(self.setting, model, self.runtime), self.measure)
        found = measured.latency
        place = Place(machine=found.where, runtime=self.runtime, threads=found.threads)
        return Measurement(value=found.p50, unit="ms", low=found.p50, high=found.p50, n=found.runs, place=place)

    @property
    def key(self) -> dict[str, Any]:
        """What a model that was made to this cost depends on."""
        return {"runtime": self.runtime, "measure": self.measure.model_dump(mode="json"), "machine": machine_name()}
