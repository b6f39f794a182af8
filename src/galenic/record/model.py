"""What a model is without torch: how it is built, and what was done to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galenic.record.base import Record


class ModelSpec(Record):
    """Enough to build the same architecture again and to load its weights into it.

    Attributes:
        architecture: a zoo name (``resnet18``), or ``timm:NAME`` or ``py:module:callable``.
        input_shape: of one input, without the batch: (channel, height, width), (channel, time) or (feature,).
        outputs: the number of logits.
        options: keyword arguments of the builder.
        history: what changed the structure since (pruning), oldest first, each a JSON object.
    """

    architecture: str
    input_shape: tuple[int, ...]
    outputs: int
    options: Mapping[str, Any] = {}
    history: tuple[Mapping[str, Any], ...] = ()
