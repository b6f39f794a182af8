"""How a raw row becomes a model's input: a fixed, serialisable description that travels with the artifact."""

from __future__ import annotations

from enum import StrEnum

from pydantic import model_validator

from galenic.record.base import Record


class Modality(StrEnum):
    """What a row is; it decides the layout and which augmentations make sense."""

    IMAGE = "image"
    SIGNAL = "signal"
    TABLE = "table"


class Preprocessing(Record):
    """``input = (raw * scale - mean) / std``, per channel, then channels first, as float32.

    Attributes:
        modality: image rows are (height, width, channel), signal rows (time, channel), table rows (feature,).
        raw_shape: the shape of one raw row in that layout.
        scale: what raw values are multiplied by, 1/255 for 8-bit images.
        mean: per channel (or per feature), in units of raw * scale.
        std: the same, all above zero.
    """

    modality: Modality
    raw_shape: tuple[int, ...]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Preprocessing:
        rank = {Modality.IMAGE: 3, Modality.SIGNAL: 2, Modality.TABLE: 1}[self.modality]
        if len(self.raw_shape) != rank:
            raise ValueError(f"a {self.modality} row has {rank} dimensions, raw_shape is {self.raw_shape}")
        channels = self.raw_shape[-1]
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(f"mean and std need {channels} values, one per channel")
        if min(self.std) <= 0:
            raise ValueError("std has to be above zero in every channel")
        return self

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one model input: (channel, height, width), (channel, time) or (feature,)."""
        return (self.raw_shape[-1], *self.raw_shape[:-1])
