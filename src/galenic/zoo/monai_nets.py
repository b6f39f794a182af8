"""MONAI's nets, imported without what they do not need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from galenic.record.quiet import hidden


def monai_net(module: str, name: str) -> Any:
    """A class of ``monai.networks.nets``.

    MONAI brings every net along, one of which asks for transformers, which asks for all that it finds: seconds of work, and
    lines of torchao about libraries for other processors.
    """
    with hidden("transformers"):
        return getattr(import_module(f"monai.networks.nets.{module}"), name)
