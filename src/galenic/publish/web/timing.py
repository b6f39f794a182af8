"""Each candidate of a page in Chromium: its answers beside Python's, and the time of its inference, all of them in turn.

A round runs every candidate ten times, and the order turns from round to round, so what the machine does meanwhile falls on all.
One thread, as on a page whose server sends no headers for isolation. A candidate that does not run there leaves the others alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from galenic.publish.web.chromium import ask_page
from galenic.publish.web.page import ASSETS, fill_page
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.web import BrowserTiming, PageModel

RUNS, IN_TURN = 100, 10
MOST_SECONDS, MOST_LETTERS = 600.0, 300
MULTI_LABEL = "multi-label"
ENOUGH_MS = 60_000
"""For the answers of one candidate: a slow net is compared on as many inputs as it answers meanwhile."""
PAGE, SCRIPT, ORDER, INPUTS = "timing.html", "timing.js", "order.json", "inputs.bin"
FLOAT_DIFFERENCE, HALF_DIFFERENCE, INTEGER_DIFFERENCE, INTEGER_AGREEMENT = 1e-4, 1e-2, 0.1, 0.98
"""The most that logits may differ, over the largest of them: other kernels sum floats in another order (1e-6 was seen), and may
compute float16 as such. Integers may round to the next step, which goes on through a net (0.003 was seen), so that their decisions
are compared too. Beyond these the runtime does not compute this model."""
FLOATS = ("float32", "weights-")
"""How precisions begin that compute in float32."""


@dataclass(frozen=True)
class Candidate:
    """A page's model in one runtime: the file, the inputs that are compared and Python's logits for them."""

    page: PageModel
    file: Path
    logits: np.ndarray


@dataclass(frozen=True)
class Pictures:
    """Picture files and the raw rows that Python made of them, (n, side, side, channel) uint8."""

    files: Sequence[bytes]
    rows: np.ndarray


@dataclass(frozen=True)
class Timed:
    """What Chromium found: a timing for each candidate that ran, why the others did not, by their runtimes, and by how many grey
    levels raw rows of pictures differ at most.
    """

    timings: tuple[BrowserTiming, ...]
    picture_difference: int
    failed: Mapping[str, str] = field(default_factory=dict)


def time_candidates(
    candidates: Sequence[Candidate],
    inputs: np.ndarray,
    pictures: Pictures,
    packages: Path,
    folder: Path,
    machine: str,
    *,
    runs: int = RUNS,
) -> Timed:
    """Run every candidate in Chromium.

    Args:
        candidates: the same model in each runtime.
        inputs: (n, *input_shape) float32, whose answers are compared.
        pictures: whose raw rows are compared.
        packages: as ``packages.require_packages`` returned.
        folder: an empty one to work in.
        machine: what the browser runs on, for the record.
        runs: timed of each, a multiple of 10.

    Raises:
        MissingPackage: no browser is installed.
        ModelError: Chromium ended, or did not answer in time.
    """
    spec = candidates[0].page.preprocessing
    for one in candidates:
        (folder / one.page.runtime).mkdir()
        fill_page(folder / one.page.runtime, one.page, one.file, packages)
    for name in (PAGE, SCRIPT):
        (folder / name).write_bytes((ASSETS / name).read_bytes())
    order = {
        "runtimes": [one.page.runtime for one in candidates],
        "rounds": max(1, runs // IN_TURN),
        "in_turn": min(runs, IN_TURN),
        "enough_ms": ENOUGH_MS,
        "inputs": len(inputs),
        "pictures": [_base64(file) for file in pictures.files],
    }
    (folder / ORDER).write_text(json.dumps(order))
    (folder / INPUTS).write_bytes(inputs.astype("<f4").tobytes())
    found = ask_page(folder, PAGE, MOST_SECONDS)
    answers = [(one, found["runtimes"][one.page.runtime]) for one in candidates]
    failed = {one.page.runtime: why for one, answer in answers if (why := _why_failed(one, answer))}
    where = f"{found['browser']}; {machine}"
    timings = tuple(_timing(one, answer, where) for one, answer in answers if one.page.runtime not in failed)
    return Timed(timings, _picture_difference(spec, found["rows"], pictures.rows), failed)


def why_wrong(timing: BrowserTiming, page: PageModel) -> str:
    """Why a runtime's answers are not those of the file, or ""."""
    most, least = _limits(page.precision)
    if timing.relative_difference <= most and timing.agreement >= least:
        return ""
    limits = f"at most {most:g}" + (f", and {least:.0%} of decisions equal" if least else "")
    found = f"its logits differ from Python's by {timing.relative_difference:.2g} of the largest one"
    return f"{found}, {timing.agreement:.1%} of {timing.rows} decisions are equal ({limits})"


def refuse_other_pictures(difference: int) -> None:
    """ModelError where the page's script makes other pixels of a picture than Python, by more than a grey level."""
    if difference > 1:
        raise ModelError(
            given=f"raw rows of pictures that differ by {difference} grey levels between the page and this Python's Pillow",
            expected="at most 1",
            todo="install the pinned Pillow (constraints.txt): another version resizes in another way",
        )


def _limits(precision: str) -> tuple[float, float]:
    """The largest difference, and the least share of equal decisions."""
    if precision.startswith(FLOATS):
        return FLOAT_DIFFERENCE, 0.0
    return (HALF_DIFFERENCE, 0.0) if precision == "float16" else (INTEGER_DIFFERENCE, INTEGER_AGREEMENT)


def _why_failed(one: Candidate, found: dict) -> str:
    """Why a candidate has no usable answers, or ""."""
    if "error" in found:
        return f"it did not run in Chromium ({str(found['error'])[:MOST_LETTERS]})"
    classes = {len(row) for row in found["logits"]}
    wanted = one.logits.shape[1]
    return (
        ""
        if classes == {wanted}
        else f"it answered in Chromium with {sorted(classes)} logits where Python has {wanted}"
    )


def _timing(one: Candidate, found: dict, where: str) -> BrowserTiming:
    times = np.asarray(found["times_ms"], dtype=np.float64)
    logits = np.asarray(found["logits"], dtype=np.float64)
    reference = one.logits[: len(logits)].astype(np.float64)
    difference = float(np.abs(logits - reference).max())
    return BrowserTiming(
        runtime=one.page.runtime,
        p50_ms=float(np.percentile(times, 50, method="inverted_cdf")),
        p90_ms=float(np.percentile(times, 90, method="inverted_cdf")),
        runs=len(times),
        load_ms=float(found["load_ms"]),
        threads=int(found["threads"]),
        max_difference=difference,
        relative_difference=difference / float(np.abs(reference).max() or 1.0),
        agreement=float((_decisions(logits, one.page) == _decisions(reference, one.page)).mean()),
        rows=len(logits),
        where=where,
    )


def _decisions(logits: np.ndarray, page: PageModel) -> np.ndarray:
    return logits > 0 if page.kind == MULTI_LABEL else logits.argmax(axis=1)


def _picture_difference(spec: Preprocessing, found: Sequence[str], expected: np.ndarray) -> int:
    rows = [np.frombuffer(base64.b64decode(row), np.uint8).reshape(spec.raw_shape) for row in found]
    return max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(rows, expected, strict=True))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
