"""Each candidate of a page in Chromium: its answers beside Python's, and the time of its inference, all of them in turn.

A round runs every candidate ten times, and the order turns from round to round, so what the machine does meanwhile falls on all.
One thread, as on a page whose server sends no headers for isolation.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galenic.publish.web.chromium import ask_page
from galenic.publish.web.page import ASSETS, fill_page
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.web import BrowserTiming, PageModel

RUNS, IN_TURN = 100, 10
MOST_SECONDS = 300.0
MULTI_LABEL = "multi-label"
PAGE, SCRIPT, ORDER = "timing.html", "timing.js", "order.json"
FLOAT_DIFFERENCE, INTEGER_DIFFERENCE = 1e-3, 0.25
"""The most that logits may differ, over the largest of them: other kernels sum floats in another order; integers may round to the
next step, which goes on through a net. Beyond that the runtime does not compute this model."""


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
    """What Chromium found: one timing for each candidate, and by how many grey levels raw rows of pictures differ at most."""

    timings: tuple[BrowserTiming, ...]
    picture_difference: int


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
        ModelError: a file did not run there.
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
        "inputs": [_base64(row.astype("<f4").tobytes()) for row in inputs],
        "pictures": [_base64(file) for file in pictures.files],
    }
    (folder / ORDER).write_text(json.dumps(order))
    found = ask_page(folder, PAGE, MOST_SECONDS)
    where = f"{found['browser']}; {machine}"
    timings = tuple(_timing(one, found["runtimes"][one.page.runtime], where) for one in candidates)
    return Timed(timings, _picture_difference(spec, found["rows"], pictures.rows))


def why_wrong(timing: BrowserTiming, page: PageModel) -> str:
    """Why a runtime's answers are not those of the file, or ""."""
    most = FLOAT_DIFFERENCE if page.precision == "float32" else INTEGER_DIFFERENCE
    if timing.relative_difference <= most:
        return ""
    found = f"its logits differ from Python's by {timing.relative_difference:.2g} of the largest one"
    return f"{found} (at most {most:g}); {timing.agreement:.0%} of {timing.rows} decisions are equal"


def refuse_other_pictures(difference: int) -> None:
    """ModelError where the page's script makes other pixels of a picture than Python, by more than a grey level."""
    if difference > 1:
        raise ModelError(
            given=f"raw rows of pictures that differ by {difference} grey levels between the page and this Python's Pillow",
            expected="at most 1",
            todo="install the pinned Pillow (constraints.txt): another version resizes in another way",
        )


def _timing(one: Candidate, found: dict, where: str) -> BrowserTiming:
    times = np.asarray(found["times_ms"], dtype=np.float64)
    logits = np.asarray(found["logits"], dtype=np.float64)
    if logits.shape != one.logits.shape:
        raise ModelError(
            given=f"{one.file.name} answered in {one.page.runtime} with shape {logits.shape}",
            expected=f"{one.logits.shape}, as in Python",
            todo="choose the other runtime with --web-runtime",
        )
    reference = one.logits.astype(np.float64)
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
