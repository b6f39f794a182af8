"""How one training is run. ``auto`` choices are made by a short measurement once and stored in the resolved recipe."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from galenic.record.base import Record


class Precision(StrEnum):
    """The arithmetic of forward and backward; weights and optimizer stay float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class MemoryFormat(StrEnum):
    """The layout of image tensors in memory."""

    AUTO = "auto"
    CONTIGUOUS = "contiguous"
    CHANNELS_LAST = "channels-last"


class ClassWeighting(StrEnum):
    """How rare classes are weighted in the loss."""

    NONE = "none"
    BALANCED = "balanced"


class Flips(StrEnum):
    """Which mirror images are the same thing: none for digits, horizontal for X-rays, both for skin."""

    NONE = "none"
    HORIZONTAL = "horizontal"
    BOTH = "both"


class Rows(StrEnum):
    """Which rows a training learns from: the labelled ones, the unlabelled transfer rows, or both."""

    TRAIN = "train"
    TRANSFER = "transfer"
    BOTH = "both"


IDLE: dict[str, object] = {"warp": 0.0}
"""Options, and the value at which they do nothing."""


class TrainingConfig(Record):
    """One training: AdamW, a linear warm-up and a cosine to zero, EMA of the weights, augmentation.

    Attributes:
        epochs: passes over the training split.
        batch_size: rows a step.
        learning_rate: the peak, reached after ``warmup_epochs``.
        weight_decay: decoupled, on weights of two or more dimensions only.
        warmup_epochs: of linear rise.
        ema_decay: of the weights that are kept; 0 keeps the last ones.
        class_weighting: none, or balanced (n / (classes * n_class)).
        label_smoothing: in [0, 1).
        augment: whether views are augmented.
        flips: which flips of an image an augmented view may have.
        rotation_degrees: an augmented image is turned by up to this much either way.
        zoom: it is scaled by up to this share either way.
        shift: it is moved by up to this share of its side, by whole pixels where it is only moved; a signal by up to this share of
            its length, and what leaves it on one side comes in on the other.
        warp: its points are moved by a smooth random field with this standard deviation, a share of its side (elastic
            deformation; 0.04 suits digits).
        rows: which rows are learned from; rows without labels need a teacher and no label loss (alpha = 1).
        precision, memory_format: measured where ``auto``.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_epochs: float = Field(default=1.0, ge=0)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    class_weighting: ClassWeighting = ClassWeighting.NONE
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    augment: bool = True
    flips: Flips = Flips.HORIZONTAL
    rotation_degrees: float = Field(default=12.0, ge=0, le=180)
    zoom: float = Field(default=0.10, ge=0, lt=1)
    shift: float = Field(default=0.06, ge=0, lt=1)
    warp: float = Field(default=0.0, ge=0, lt=0.5)
    rows: Rows = Rows.TRAIN
    precision: Precision = Precision.AUTO
    memory_format: MemoryFormat = MemoryFormat.AUTO

    @model_serializer(mode="wrap")
    def _without_idle_options(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An option that changes nothing where it is off is not in the record then, so that it renames no finished stage."""
        values: dict[str, Any] = dump(self)
        return {key: value for key, value in values.items() if key not in IDLE or value != IDLE[key]}
