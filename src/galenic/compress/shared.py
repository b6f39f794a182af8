"""What decides the results of trainings and belongs to no single method: losses, layers, caches, pairs and schedules.

``VERSION`` is raised when the results of any of ``MODULES`` change; it enters the hash of every training. Methods borrow formulas
from each other (several teachers from soft targets), so a training's hash also has the versions of the whole distilling family.
"""

from __future__ import annotations

from galenic.compress import distill

VERSION = 1

MODULES = (
    "galenic.compress.method",
    "galenic.compress.schedules",
    "galenic.compress.distill.answers",
    "galenic.compress.distill.pairs",
    "galenic.compress.distill.suggest",
    "galenic.compress.distill.teacher_layers",
    "galenic.compress.distill.tokens",
    "galenic.training.layers",
    "galenic.training.objective",
    "galenic.training.teacher_cache",
)


def family_versions() -> list[list[str | int]]:
    """(name, version) of every distilling method."""
    return [[method.name, method.version] for method in distill.METHODS]
