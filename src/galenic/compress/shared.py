"""What decides results and belongs to no single method: losses, layers, caches, pairs and schedules; observers and grids; masks.

``VERSION`` is raised when the results of any of ``MODULES`` change; it enters the hash of every training. ``QUANTIZING_VERSION``
and ``PRUNING_VERSION`` are those of ``QUANTIZING_MODULES`` and ``PRUNING_MODULES``, for phases that quantize or prune. Methods
borrow formulas from each other (several teachers from soft targets), so a stage's hash also has the versions of the method's
whole family.
"""

from __future__ import annotations

from collections.abc import Iterable

from galenic.compress import distill, prune, quantize, sparsify
from galenic.compress.method import Method

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

QUANTIZING_VERSION = 4

QUANTIZING_MODULES = (
    "galenic.compress.quantize.adaround",
    "galenic.compress.quantize.allocation",
    "galenic.compress.quantize.aware_graph",
    "galenic.compress.quantize.bias_correction",
    "galenic.compress.quantize.calibrate",
    "galenic.compress.quantize.costs",
    "galenic.compress.quantize.equalise",
    "galenic.compress.quantize.fake",
    "galenic.compress.quantize.grid",
    "galenic.compress.quantize.observers",
    "galenic.compress.quantize.places",
    "galenic.compress.quantize.scales",
    "galenic.compress.quantize.sensitivity",
    "galenic.compress.quantize.simulate",
    "galenic.compress.quantize.static",
    "galenic.compress.quantize.tuning",
    "galenic.compress.quantize.weights",
    "galenic.zoo.graph",
)


PRUNING_VERSION = 1

PRUNING_MODULES = (
    "galenic.compress.densities",
    "galenic.compress.masks",
    "galenic.compress.prune.gradients",
    "galenic.compress.sparse_work",
    "galenic.compress.sparsify.topology",
    "galenic.compress.thresholds",
    "galenic.zoo.surgery",
)


def distilling(methods: Iterable[Method]) -> list[list[str | int]] | None:
    """(name, version) of every distilling method where one is among ``methods``; else None."""
    if not any(type(method) in distill.METHODS for method in methods):
        return None
    return [[method.name, method.version] for method in distill.METHODS]


def quantizing(methods: Iterable[Method]) -> list[int | list[str | int]] | None:
    """The shared version and (name, version) of every quantizing method where one is among ``methods``; else None."""
    if not any(type(method) in quantize.METHODS for method in methods):
        return None
    family: list[list[str | int]] = [[method.name, method.version] for method in quantize.METHODS]
    return [QUANTIZING_VERSION, *family]


def pruning(methods: Iterable[Method]) -> list[int | list[str | int]] | None:
    """The shared version and (name, version) of every method that makes zeros where one is among ``methods``; else None."""
    those = (*prune.METHODS, *sparsify.METHODS)
    if not any(type(method) in those for method in methods):
        return None
    family: list[list[str | int]] = [[method.name, method.version] for method in those]
    return [PRUNING_VERSION, *family]
