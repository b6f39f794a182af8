"""What ``galenic quantize`` leaves: the files beside their float twin, and what is behind their quality. No test set was read."""

from __future__ import annotations

from collections.abc import Mapping

from galenic.record.artifact import IntegerOps
from galenic.record.base import Record
from galenic.record.measurement import Latency, Ratio
from galenic.record.quant import LayerSensitivity, QuantRule
from galenic.record.recipe import Recipe
from galenic.record.report import Metric, Parity

FORMAT_VERSION = 1


class QuantizedFile(Record):
    """One file with its validation metrics.

    Attributes:
        id: ``float`` for the model before its quantization, else the phase's, such as ``2-static_int8``.
        title: for people.
        path: inside the folder.
        precision, sha256, size_bytes: of the file.
        metrics: on validation.
        latency_ms: on this host.
        integer_ops: counted in the file; None for a float one.
        agreement: with the model's own simulation on validation rows; None for a float file.
        speedup: how many times faster it is than its own float file, timed in turn; None for that one.
        change: its AUC minus the float file's, paired; None for the float file.
    """

    id: str
    title: str
    path: str
    precision: str
    sha256: str
    size_bytes: int
    metrics: Mapping[str, Metric]
    latency_ms: Latency
    integer_ops: IntegerOps | None = None
    agreement: Parity | None = None
    speedup: Ratio | None = None
    change: Metric | None = None


class QuantizationResult(Record):
    """comparison.json: the float file, then what the phase made of it; ``sentences`` say how they stand to each other."""

    format_version: int = FORMAT_VERSION
    name: str
    runtime: str
    split: str
    files: tuple[QuantizedFile, ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    recipe: Recipe


class KeptFloat(Record):
    """What the model would lose with these layers float: its divergence from the float model, measured."""

    layers: tuple[str, ...]
    divergence: Metric


class TensorDrift(Record):
    """One activation of a file beside its simulation: the share of ``n`` integers that are others, by how many steps at most."""

    tensor: str
    share: float
    most_steps: int
    n: int


class Explanation(Record):
    """explanation.json: which layers hurt, which stayed float and why, and what to try next.

    Attributes:
        name: of the recipe.
        runtime, method: that made the file.
        rule: what was asked for.
        divergence: the mean KL divergence (nats) of the whole simulation from the float model on validation rows.
        layers: each layer alone, the worst first.
        kept: layers that the recipe keeps float.
        refused: layers that were to be integer and that the runtime computes in float.
        if_kept: with the worst layers float; None where no few layers make up half of what all of them lose.
        drift: the file's integers beside its simulation's, in the order of computation; () where the runtime shows none.
        measured: what choices were made by: candidate -> mean divergence.
        float_file, file: the two files.
        sentences: how they stand to each other.
        advice: what follows, in sentences, the most urgent first.
        notes: of single layers.
    """

    format_version: int = FORMAT_VERSION
    name: str
    runtime: str
    method: str
    rule: QuantRule
    divergence: Metric
    layers: tuple[LayerSensitivity, ...]
    kept: tuple[str, ...]
    refused: tuple[str, ...]
    if_kept: KeptFloat | None = None
    drift: tuple[TensorDrift, ...] = ()
    measured: Mapping[str, float] = {}
    float_file: QuantizedFile
    file: QuantizedFile
    sentences: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
