"""Static INT8 after training (Jacob et al. 2018, arXiv:1712.05877; Krishnamoorthi 2018, arXiv:1806.08342).

    integer = clip(round(real / scale) + zero_point)
Weights are symmetric int8 with one scale per output channel; activations asymmetric uint8 with ranges found on the
calibration rows. The model stays the float module, its weights on their grids; every runtime's exporter lowers the same
points, and counts what became integer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from galenic.compress.method import Bench, TeacherNeed
from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.static import Choices, Rows, quantize_static, refuse_text
from galenic.preprocess.transform import to_inputs
from galenic.record.base import Record
from galenic.record.quant import LayerRule, Observer, QuantRule
from galenic.record.task import SplitName, Task
from galenic.zoo.model import Model

MOST_VALIDATION_ROWS = 1024
"""A choice is measured on no more rows than these, the first of the validation split."""


class StaticInt8(Record):
    """INT8 weights and activations, calibrated on the task's calibration rows.

    Attributes:
        observer: how activation ranges are found; measured on validation rows where None.
        per_channel: one weight scale per output channel.
        correct_bias: whether the means that rounding moves are corrected; measured where None.
        equalise: whether the weights of neighbouring layers are balanced first; measured where None.
        tune_ranges: whether all ranges are tuned together; where None measured, if much is lost without.
        keep: patterns of module paths that stay float.
        layers: other bits for some layers.
    """

    name: ClassVar[str] = "static_int8"
    version: ClassVar[int] = 2
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE

    observer: Observer | None = None
    per_channel: bool = True
    correct_bias: bool | None = None
    equalise: bool | None = None
    tune_ranges: bool | None = None
    keep: tuple[str, ...] = ()
    layers: tuple[LayerRule, ...] = ()

    @property
    def rule(self) -> QuantRule:
        """INT8 weights and activations; which rows they are calibrated on is filled in by ``apply``."""
        return QuantRule(per_channel=self.per_channel, observer=self.observer, keep=self.keep, layers=self.layers)

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError for a text net: static ranges of its activations are not supported."""
        refuse_text(model, "as static 8-bit integers")

    def quantized(self, model: Model, rows: Rows, seed: int = 0) -> Model:
        """The module with its weights on their grids and a QuantSpec with every point; nothing is random."""
        del seed
        self.refuse_model(model)
        choices = Choices(self.observer, self.correct_bias, self.equalise, self.tune_ranges)
        return quantize_static(model, self.rule, rows, choices)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The same on the task's rows."""
        return [calibrated(self.quantized(model, task_rows(bench.task)), model, bench.task, self.name)]


def calibrated(made: Model, before: Model, task: Task, name: str) -> Model:
    """What a method made of a model, with the rows that its ranges were found on and its name in the lineage."""
    assert made.quant is not None
    spec = made.quant.model_copy(update={"rule": calibrated_rule(made.quant.rule, task)})
    return replace(made, quant=spec, lineage=(*before.lineage, name))


def calibrated_rule(rule: QuantRule, task: Task) -> QuantRule:
    """The rule with the rows that ranges are found on."""
    name = SplitName.CALIBRATION
    return rule.model_copy(
        update={"calibration_hash": task.split_hashes[name.value], "calibration_rows": len(task.splits[name])}
    )


def task_rows(task: Task) -> Rows:
    """The task's calibration rows, and the validation rows that choices are measured on."""
    return Rows(
        in_batches(to_inputs(task.preprocessing, task.calibration.inputs)),
        in_batches(to_inputs(task.preprocessing, task.validation.inputs[:MOST_VALIDATION_ROWS])),
        task.kind,
    )
