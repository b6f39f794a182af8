"""A classifier's bias set from the class prior, without labels (Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 3).

A student that has never seen a class learns its shape from the teacher's soft targets, but its bias is far too low:
with a bias of +3.5 for the omitted 3, 98.6 % of the threes were right. How large the bias has to be follows from how
often the class comes:
    m_i   = max over j != c of z_ij  -  z_ic                  what row i lacks for class c         z: (n, classes) logits
    shift = any number between the k-th and the (k + 1)-th smallest m_i (the middle),  k = prior * n
so that exactly k rows are decided for c. Several classes are shifted in turn until all have their counts at once: each
turn is an exact coordinate step of the convex sum_i max_j (z_ij + shift_j) - sum_c k_c shift_c, which is at its least
where the counts are right. Only the inputs of the calibration rows are read. Multi-label tasks, whose labels do not
compete, are refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from torch import nn

from galenic.compress.distill.labels import refuse_several_labels
from galenic.compress.method import Bench, TeacherNeed
from galenic.preprocess.transform import to_inputs
from galenic.record.base import Record
from galenic.record.errors import DataError, ModelError, RecipeError
from galenic.record.task import Task
from galenic.record.training import Rows
from galenic.zoo.model import Model

BATCH_ROWS = 256
SWEEPS = 1000
"""How often all classes are shifted in turn before it is given up; a few sweeps are usual."""

TOLERANCE = 0.01
"""Of the rows: how far a count may be off where equal rows can't be parted."""


def bias_shift(logits: Float[np.ndarray, "n c"], label: int, count: int) -> float:
    """What to add to the logit of ``label`` so that ``count`` rows are decided for it.

    Where equal margins stand in the way, the count that can be had and is nearest; the smaller of two.
    """
    others = np.delete(logits, label, axis=1).max(axis=1)
    margins = np.sort(others - logits[:, label])
    cuts = np.flatnonzero(margins[1:] > margins[:-1]) + 1
    if len(cuts) == 0:
        raise ModelError(
            given=f"a model that is equally far from class {label} in all {len(logits)} rows",
            expected="logits that tell rows apart",
            todo="train it first, or look at its weights",
        )
    cut = cuts[np.abs(cuts - count).argmin()]
    return float((margins[cut - 1] + margins[cut]) / 2)


def bias_shifts(logits: Float[np.ndarray, "n c"], counts: Mapping[int, int]) -> Float[np.ndarray, " c"]:
    """What to add to every logit so that each class of ``counts`` (label -> rows) gets its count.

    Equal rows can't be parted, so a count may be missed by as many rows as are equal, and by up to ``TOLERANCE`` of all.

    Raises:
        ModelError: there are no such shifts, or they are not found.
    """
    shifts = np.zeros(logits.shape[1])
    for _ in range(SWEEPS):
        if _decided(logits + shifts, counts) == counts:
            return shifts
        before = shifts.copy()
        for label, count in counts.items():
            shifts[label] += bias_shift(logits + shifts, label, count)
        if np.allclose(before, shifts, rtol=0, atol=1e-12):
            break
    decided = _decided(logits + shifts, counts)
    if max(abs(decided[label] - counts[label]) for label in counts) <= TOLERANCE * len(logits):
        return shifts
    raise ModelError(
        given=f"a model for which no bias was found that decides {counts} rows for each class; nearest: {decided}",
        expected=f"counts that can be had to within {TOLERANCE:.0%} of {len(logits)} rows",
        todo="look whether it answers the same for many rows, or set the bias of fewer classes",
    )


def _decided(logits: Float[np.ndarray, "n c"], labels: Iterable[int]) -> dict[int, int]:
    found = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
    return {label: int(found[label]) for label in labels}


def counts_of(priors: Mapping[int, float], rows: int) -> dict[int, int]:
    """Label -> how many of ``rows`` are meant by its prior, by largest remainders, so that all of them fit together."""
    quotas = np.array([*(prior * rows for prior in priors.values()), rows * max(0.0, 1 - sum(priors.values()))])
    counts = np.floor(quotas + 1e-9).astype(int)
    order = np.argsort(np.round(counts - quotas, 9), kind="stable")
    counts[order[: rows - counts.sum()]] += 1
    return dict(zip(priors, counts[:-1].tolist(), strict=True))


class ClassPrior(Record):
    """Shift the classifier's bias for some classes until they are decided as often as they are known to come.

    Attributes:
        classes: the names of the classes whose bias is set.
        prior: how often each of them comes, for all of them or by name; None is 1 / (number of the task's classes).
    """

    name: ClassVar[str] = "class_prior"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    classes: tuple[str, ...] = Field(min_length=1)
    prior: float | dict[str, float] | None = None

    @field_validator("prior")
    @classmethod
    def _for_these_classes(
        cls, prior: float | dict[str, float] | None, info: ValidationInfo
    ) -> float | dict[str, float] | None:
        classes = info.data.get("classes", ())
        if isinstance(prior, dict) and classes and prior.keys() != set(classes):
            raise PydanticCustomError("prior", "one number for all classes, or one for each name in 'classes'")
        shares = list(prior.values()) if isinstance(prior, dict) else [] if prior is None else [prior] * len(classes)
        if not all(0 < share < 1 for share in shares):
            raise PydanticCustomError("prior", "shares between 0 and 1")
        if sum(shares) > 1 + 1e-9:
            raise PydanticCustomError("prior", "shares whose sum is at most 1")
        return prior

    def refuse(self, task: Task, _: Rows) -> None:
        """Only for tasks with one class a case that have these classes, and enough calibration rows for their shares."""
        refuse_several_labels(task, self.name)
        self._refuse_too_few_rows(self._counts(task), task)

    def refuse_model(self, model: Model) -> None:
        """Only for nets with a linear ``classifier``."""
        _classifier_bias(model, model.module)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The same model with another bias of its ``classifier``."""
        self.refuse(bench.task, Rows.TRAIN)
        counts = self._counts(bench.task)
        module = deepcopy(model.module).eval()
        bias = _classifier_bias(model, module)
        shifts = bias_shifts(_logits(module, bench.task), counts)
        with torch.no_grad():
            bias += torch.from_numpy(shifts).to(bias)
        return [replace(model, module=module, lineage=(*model.lineage, self.name))]

    def _counts(self, task: Task) -> dict[int, int]:
        return counts_of(self._priors(task), len(task.calibration))

    def _priors(self, task: Task) -> dict[int, float]:
        for name in self.classes:
            if name not in task.classes:
                near = difflib.get_close_matches(name, task.classes, n=1)
                raise RecipeError(
                    given=f"{self.name}.classes names '{name}'",
                    expected=f"classes of {task.name}: {', '.join(task.classes)}",
                    todo=f"did you mean '{near[0]}'?" if near else "take their names from that list",
                )
        each = self.prior if isinstance(self.prior, dict) else {}
        same = self.prior if isinstance(self.prior, float) else 1 / task.outputs
        priors = {task.classes.index(name): each.get(name, same) for name in self.classes}
        if len(priors) == task.outputs and abs(sum(priors.values()) - 1) > 1e-6:
            raise RecipeError(
                given=f"priors of all {task.outputs} classes of {task.name} with a sum of {sum(priors.values()):g}",
                expected="a sum of 1",
                todo="leave one class out, whose prior is the rest, or mend the numbers",
            )
        return priors

    def _refuse_too_few_rows(self, counts: Mapping[int, int], task: Task) -> None:
        rows = len(task.calibration)
        for label, count in counts.items():
            if not 0 < count < rows:
                raise DataError(
                    given=f"{rows} calibration rows of {task.name}, of which the prior of '{task.classes[label]}' "
                    f"makes {count}",
                    expected="enough rows that at least one is of this class and one of another",
                    todo="make the calibration split larger, or give another prior",
                )


def _classifier_bias(model: Model, module: nn.Module) -> torch.Tensor:
    """The bias of the module ``classifier``, whose i-th number is added to the i-th logit."""
    classifier = getattr(module, "classifier", None)
    bias = classifier.bias if isinstance(classifier, nn.Linear) else None
    if bias is not None and len(bias) == model.spec.outputs:
        return bias
    raise ModelError(
        given=f"the model {model.spec.architecture}, whose 'classifier' is {type(classifier).__name__}",
        expected=f"a Linear module named 'classifier' with a bias and {model.spec.outputs} outputs, as in the zoo",
        todo="take an architecture that `galenic models` lists",
    )


@torch.no_grad()
def _logits(module: nn.Module, task: Task) -> Float[np.ndarray, "n c"]:
    """The logits of the calibration rows, float64; labels are not read."""
    raw = task.calibration.inputs
    parts = [
        module(torch.from_numpy(to_inputs(task.preprocessing, raw[start : start + BATCH_ROWS])))
        for start in range(0, len(raw), BATCH_ROWS)
    ]
    return torch.cat(parts).double().numpy()
