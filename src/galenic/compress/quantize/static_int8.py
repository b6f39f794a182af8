"""Static INT8 after training (Jacob et al. 2018, arXiv:1712.05877; Krishnamoorthi 2018, arXiv:1806.08342).

    integer = clip(round(real / scale) + zero_point)
Weights are symmetric int8 with one scale per output channel; activations asymmetric uint8 with ranges found on the
calibration rows. The model stays the float module; what it becomes is a rule in its QuantSpec, and the exporter of each
runtime places the integer ops, fills in the points and counts what became integer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from galenic.compress.method import Bench, TeacherNeed
from galenic.record.base import Record
from galenic.record.quant import Observer, QuantRule, QuantSpec
from galenic.record.task import SplitName
from galenic.zoo.model import Model


class StaticInt8(Record):
    """INT8 weights and activations, calibrated on the task's calibration rows.

    Attributes:
        observer: how activation ranges are found.
        per_channel: one weight scale per output channel.
        keep: patterns of module paths that stay float.
    """

    name: ClassVar[str] = "static_int8"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE

    observer: Observer = Observer.MIN_MAX
    per_channel: bool = True
    keep: tuple[str, ...] = ()

    @property
    def rule(self) -> QuantRule:
        """INT8 weights and activations; which rows they are calibrated on is filled in by ``apply``."""
        return QuantRule(per_channel=self.per_channel, observer=self.observer, keep=self.keep)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The same module with a rule for every runtime's exporter."""
        rows = {
            "calibration_hash": bench.task.split_hashes[SplitName.CALIBRATION.value],
            "calibration_rows": len(bench.task.calibration),
        }
        rule = self.rule.model_copy(update=rows)
        return [replace(model, quant=QuantSpec(rule=rule), lineage=(*model.lineage, self.name))]
