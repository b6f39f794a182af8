"""The two ends of a net that takes and gives int8: float32 inputs onto the input's grid, and integers as float32 logits.

integer = round(value / scale) + zero, halves away from zero, clipped to -128 .. 127        logit = scale (integer - zero)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError

LOWEST, HIGHEST = -128, 127


@dataclass(frozen=True)
class IntegerEnds:
    """Grids of the input and the logits, and whether the input lies channel last."""

    input_scale: float
    input_zero: int
    output_scale: float
    output_zero: int
    channel_last: bool

    @classmethod
    def of(cls, artifact: Artifact, facts: Mapping[str, Any]) -> IntegerEnds:
        """From what a net says of itself; ModelError where it is not one for this artifact's inputs and classes."""
        inputs, classes = prod(artifact.preprocessing.input_shape), len(artifact.classes)
        if (facts["inputs"], facts["outputs"]) != (inputs, classes):
            raise ModelError(
                given=f"{artifact.path} takes {facts['inputs']} values and answers {facts['outputs']}",
                expected=f"{inputs} values, as the preprocessing gives, and {classes} classes",
                todo="use a file that was made for this task",
            )
        grids = (facts["input_scale"], int(facts["input_zero"]), facts["output_scale"], int(facts["output_zero"]))
        return cls(*grids, bool(facts["channel_last"]))

    def entering(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, channel, ...) float32 -> (batch, ...) int8, contiguous, in the net's order."""
        steps = inputs / np.float32(self.input_scale)
        nearest = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + self.input_zero
        integers = np.clip(nearest, LOWEST, HIGHEST).astype(np.int8)
        return np.ascontiguousarray(np.moveaxis(integers, 1, -1) if self.channel_last else integers)

    def leaving(self, integers: np.ndarray) -> np.ndarray:
        """(batch, classes) int8 -> float32 logits."""
        return ((integers.astype(np.int32) - self.output_zero) * np.float32(self.output_scale)).astype(np.float32)
