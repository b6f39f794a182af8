"""How a raw row becomes a model's input: a fixed, serialisable description that travels with the artifact."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from galenic.record.base import Record
from galenic.record.errors import DataError


class Modality(StrEnum):
    """What a row is; it decides the layout and which augmentations make sense."""

    IMAGE = "image"
    SIGNAL = "signal"
    TABLE = "table"
    TEXT = "text"


PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"


class Resample(StrEnum):
    """How pixels are interpolated."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class Frames(StrEnum):
    """Which frames of a file are rows; the middle of 4 is the second."""

    FIRST = "first"
    MIDDLE = "middle"
    ALL = "all"


FrameChoice = Frames | Annotated[int, Field(ge=1)]
"""By place, or by number from 1 as DICOM counts them."""


class Picture(Record):
    """How a decoded picture became a raw row of 8-bit pixels (``preprocess/image.py``).

    Attributes:
        cropped: whether the middle square is cut out first; otherwise the picture is squeezed.
        resample: how it is resized to the row's side.
        frames: of a file with several, which are rows; None where such a file is none, and then it is not in the JSON form.
    """

    cropped: bool = True
    resample: Resample = Resample.BICUBIC
    frames: FrameChoice | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_none(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = whole(self)
        if values.get("frames") is None:
            values.pop("frames", None)
        return values


class WordPieces(Record):
    """What turns a text into token ids (``preprocess/text.py``). All of it travels with the artifact, since a device
    that has the ids of another vocabulary answers nonsense without noticing.

    Attributes:
        vocabulary: the pieces; the place of each is its token id, ``[PAD]`` is 0. Pieces inside a word begin with ``##``.
        lower_case: whether case and accents are dropped first, as for BERT's uncased vocabularies.
    """

    vocabulary: tuple[str, ...]
    lower_case: bool = True

    @model_validator(mode="after")
    def _whole(self) -> WordPieces:
        missing = [piece for piece in (PAD, UNKNOWN, START, END) if piece not in self.vocabulary]
        if missing:
            raise ValueError(f"the vocabulary has no {', '.join(missing)}")
        if self.vocabulary[0] != PAD:
            raise ValueError(f"{PAD} has to be the first piece: token id 0 is padding")
        if len(set(self.vocabulary)) < len(self.vocabulary):
            raise ValueError("a piece stands twice in the vocabulary")
        return self


class Preprocessing(Record):
    """``input = (raw * scale - mean) / std``, per channel, then channels first, as float32; token ids as they are, int64.

    Attributes:
        modality: image rows are (height, width, channel), signal rows (time, channel), table rows (feature,), and text
            rows (token,): ids that are filled up with 0.
        raw_shape: the shape of one raw row in that layout.
        scale: what raw values are multiplied by, 1/255 for 8-bit images; 1 for text.
        mean: per channel (or per feature), in units of raw * scale; empty for text.
        std: the same, all above zero.
        text: for text alone, what made the ids; where it is None it is not in the JSON form.
        picture: for images alone, how a picture became a row; None where nobody said, and then it is not in the JSON form.
    """

    modality: Modality
    raw_shape: tuple[int, ...]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    text: WordPieces | None = None
    picture: Picture | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Preprocessing:
        rank = {Modality.IMAGE: 3, Modality.SIGNAL: 2, Modality.TABLE: 1, Modality.TEXT: 1}[self.modality]
        if len(self.raw_shape) != rank:
            raise ValueError(f"a {self.modality} row has {rank} dimensions, raw_shape is {self.raw_shape}")
        if (self.modality is Modality.TEXT) != (self.text is not None):
            raise ValueError("text rows need word pieces, and no other rows have them")
        channels = 0 if self.text is not None else self.raw_shape[-1]
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(f"mean and std need {channels} values, one per channel")
        if min(self.std, default=1.0) <= 0:
            raise ValueError("std has to be above zero in every channel")
        if self.text is not None and self.scale != 1.0:
            raise ValueError("token ids are not scaled")
        if self.picture is not None and self.modality is not Modality.IMAGE:
            raise ValueError(f"{self.modality} rows are not made of pictures")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_none(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = whole(self)
        for name in ("text", "picture"):
            if values.get(name) is None:
                values.pop(name, None)
        return values

    def of_pictures(self) -> Picture:
        """How a picture of any size becomes a row: as recorded, else the middle square by bicubic interpolation.

        Raises:
            DataError: rows are not square 8-bit pictures, grey or RGB.
        """
        height, width, channels = self.raw_shape if self.modality is Modality.IMAGE else (0, 0, 0)
        eight_bits = math.isclose(self.scale, 1 / 255, rel_tol=1e-6)
        if height != width or channels not in (1, 3) or not eight_bits:
            found = f"{self.modality.value} rows of shape {self.raw_shape}"
            raise DataError(
                given=found if eight_bits else f"{found}, multiplied by {self.scale:g}",
                expected="square grey or RGB pictures of 8 bits: (side, side, 1 or 3), multiplied by 1/255",
                todo="use a task of such pictures, as folder:PATH makes them; signals, tables and texts have no picture",
            )
        return self.picture or Picture()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one model input: (channel, height, width), (channel, time), (feature,) or (token,)."""
        return (self.raw_shape[-1], *self.raw_shape[:-1])

    @property
    def input_type(self) -> np.dtype:
        """The number type of model inputs: float32, or int64 for token ids."""
        return np.dtype(np.float32 if self.text is None else np.int64)
