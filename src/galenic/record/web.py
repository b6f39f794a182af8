"""What a page that classifies pictures says about itself: ``model.json``, which its script reads, and ``build.json``.

Both are versioned by FORMAT_VERSION (1: the first). ``model.json`` depends on the model alone; what was measured when the page was
made, and so differs from time to time, stands in ``build.json``.
"""

from __future__ import annotations

from collections.abc import Mapping

from galenic.record.base import Record
from galenic.record.preprocessing import Picture, Preprocessing

FORMAT_VERSION = 1


class PageVerdict(Record):
    """What the gate said about this very file: ``value`` is pass, fail or inconclusive."""

    value: str
    sentence: str


class PageModel(Record):
    """The model of a page.

    Attributes:
        name: of the recipe that made it; the page's title.
        task: the data that it learned from, by name.
        synthetic: whether no patient stands behind these data.
        kind: single-label, multi-label or ordinal; it decides between softmax and sigmoid.
        runtime: ``litert`` or ``onnxruntime``, as an Artifact calls it.
        runtime_version: of the runtime's npm package.
        file: where the model lies beside the page.
        sha256, size_bytes, precision, classes, preprocessing: as in its Artifact.
        lineage: as in its Artifact, or the name of its architecture alone.
        picture: how a picture becomes a raw row.
        verdict: None where this very file has not been through the gate.
    """

    format_version: int = FORMAT_VERSION
    name: str
    task: str
    synthetic: bool
    kind: str
    runtime: str
    runtime_version: str
    file: str
    sha256: str
    size_bytes: int
    precision: str
    lineage: tuple[str, ...]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    picture: Picture
    verdict: PageVerdict | None = None


class BrowserTiming(Record):
    """A file in a browser's runtime, timed in turn with the others and set beside the same file's answers in Python.

    Attributes:
        runtime: as an Artifact calls it.
        p50_ms, p90_ms: of the inference alone, one input at a time.
        runs: how many were timed.
        load_ms: from the file's bytes to the first answer, once.
        threads: of the processor.
        max_difference: the largest difference of a logit from Python's, over ``rows`` inputs.
        relative_difference: the same over the largest of Python's logits.
        agreement: the share of equal decisions.
        rows: how many inputs were compared.
        where: the browser and the machine.
    """

    runtime: str
    p50_ms: float
    p90_ms: float
    runs: int
    load_ms: float
    threads: int
    max_difference: float
    relative_difference: float
    agreement: float
    rows: int
    where: str


class WebBuild(Record):
    """How a page was made.

    Attributes:
        build: the hash of all its files but this one.
        runtime: the one that was taken.
        because: why, in a sentence.
        timings: what was measured, empty where no browser was there.
        left_out: runtimes that could not be taken, each with the reason.
        picture_difference: the most grey levels by which the page's script made another raw row of a picture than Python; None
            where no browser was there.
        packages: npm package -> version.
        files: path -> sha256.
    """

    format_version: int = FORMAT_VERSION
    build: str
    runtime: str
    because: str
    timings: tuple[BrowserTiming, ...] = ()
    left_out: Mapping[str, str] = {}
    picture_difference: int | None = None
    packages: Mapping[str, str]
    files: Mapping[str, str]
