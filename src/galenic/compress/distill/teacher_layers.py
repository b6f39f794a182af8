"""What a teacher's layers say about a batch: from the cache where that is small, else the teacher runs beside the student.

    bytes of the cache = 4 * rows * views * sum over layers of the numbers in what is kept of one row
Cached answers are made in float32. A teacher that runs live does so in the training's own precision and memory format, in
evaluation mode and without gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from galenic.compress.distill.answers import answer_cache, teacher_model
from galenic.compress.method import Bench, Teacher, training_data
from galenic.record.errors import ModelError
from galenic.record.training import MemoryFormat
from galenic.training.layers import captured
from galenic.training.objective import Batch, Inputs


def itself(output: Any) -> Tensor:
    """The output of a module that returns one tensor."""
    tensor: Tensor = output
    return tensor


@dataclass(frozen=True)
class Reading:
    """One layer of the teacher, and what is kept of it.

    Attributes:
        path: of the module.
        made: what is made of its output, in words; it names the answer in the cache.
        shape: of what is kept of one row.
        make: the output of a batch, float32 -> (batch, *shape).
        pick: which tensor of the module's output that is, where it returns several.
    """

    path: str
    made: str
    shape: tuple[int, ...]
    make: Callable[[Tensor], Tensor]
    pick: Callable[[Any], Tensor] = itself


class TeacherLayers:
    """The readings of one teacher.

    Args:
        bench: of the method.
        teacher: one with a torch model.
        readings: what is wanted.
        views: how many views of a row there are.
        cache_mb: the cache's largest size in MB of 10^6 bytes; beyond it the teacher runs live.
    """

    def __init__(
        self, bench: Bench, teacher: Teacher, readings: Sequence[Reading], views: int, cache_mb: float
    ) -> None:
        self._readings, self._name = tuple(readings), teacher.name
        self._module = deepcopy(teacher_model(teacher).module).eval().requires_grad_(False)
        self._device = torch.device("cpu")
        data = training_data(bench, views)
        numbers = sum(math.prod(reading.shape) for reading in self._readings)
        kept = len(data.split) * (views if data.views.augment else 1)
        self.cache_bytes = 4 * kept * numbers
        self._cache = None
        if self.cache_bytes <= cache_mb * 1e6:
            device = Accelerator().device.type
            answers = ", ".join(f"{reading.path} ({reading.made})" for reading in self._readings)
            self._cache = answer_cache(bench, teacher, views, answers, (numbers,), self._predict, device)
        elif bench.training is not None and bench.training.memory_format is MemoryFormat.CHANNELS_LAST:
            self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        limit = f"the limit cache_mb = {cache_mb:g}"
        size = f"{self.cache_bytes / 1e6:.4g} MB of {kept} views"
        self.note = (
            f"the teacher's layers are cached ({size}, within {limit})"
            if self._cache
            else f"the teacher runs live, since its layers would take {size}, above {limit}"
        )
        """Whether answers are cached, and why, for people."""

    @property
    def live(self) -> bool:
        """Whether the teacher runs in every step."""
        return self._cache is None

    def of(self, batch: Batch) -> list[Tensor]:
        """What every reading makes of a batch, each (batch, *shape) float32."""
        self._device = batch.labels.device
        self._module.to(self._device)
        if self._cache is None:
            made = self._read(batch.inputs)
            self._refuse_nan(made, batch)
            return made
        parts = self._cache.answers(batch).split([math.prod(reading.shape) for reading in self._readings], dim=1)
        return [part.unflatten(1, reading.shape) for part, reading in zip(parts, self._readings, strict=True)]

    def _predict(self, inputs: np.ndarray) -> np.ndarray:
        """All readings of preprocessed inputs, flat and side by side: (batch, numbers)."""
        with torch.autocast(self._device.type, enabled=False):
            made = self._read(torch.from_numpy(inputs).to(self._device))
        joined: np.ndarray = torch.cat([one.flatten(1) for one in made], dim=1).cpu().numpy()
        return joined

    def _read(self, inputs: Inputs) -> list[Tensor]:
        with torch.no_grad(), captured(self._module, [reading.path for reading in self._readings]) as seen:
            self._module(inputs)
            return [reading.make(reading.pick(seen[reading.path]).float()) for reading in self._readings]

    def _refuse_nan(self, made: Sequence[Tensor], batch: Batch) -> None:
        for one, reading in zip(made, self._readings, strict=True):
            if not one.isfinite().all():
                raise ModelError(
                    given=f"the layer {reading.path} of the teacher {self._name}, which is not finite on a batch with "
                    f"row {batch.rows[0]} of the training data",
                    expected="finite numbers",
                    todo="take other weights, or set the training's precision to float32",
                )
