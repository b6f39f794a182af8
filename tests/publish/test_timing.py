"""What Chromium sends to figures: percentiles and differences by hand; ``tests/browser/test_web.py`` has the real browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galenic.publish.web import timing
from galenic.publish.web.timing import Candidate, Pictures, refuse_other_pictures, time_candidates, why_wrong
from galenic.record.errors import ModelError
from galenic.record.web import BrowserTiming, PageModel

LOGITS = np.array([[1.0, -2.0], [0.5, 4.0]], np.float32)
ROW = np.full((1, 8, 8, 3), 7, np.uint8)
TIMES = [float(value) for value in range(1, 21)]
ANSWER = {"times_ms": TIMES, "logits": LOGITS.tolist(), "load_ms": 5.0, "threads": 1}
TIMED = BrowserTiming(
    runtime="litert", p50_ms=1, p90_ms=2, runs=100, load_ms=3, threads=1, max_difference=0.1, relative_difference=0.01,
    agreement=0.75, rows=4, where="here",
)  # fmt: skip


def asked(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    page: Callable[..., PageModel],
    packages: Path,
    found: dict,
    **changes: Any,
) -> timing.Timed:
    """``time_candidates`` of one candidate whose browser has found ``found``."""
    model = tmp_path / "m.tflite"
    model.write_bytes(b"a model")
    answer = found if "error" in found else ANSWER | found
    row = base64.b64encode((ROW[0] + np.uint8(changes.get("lighter", 0))).tobytes()).decode()

    def ask_page(folder: Path, name: str, timeout_s: float) -> Any:
        order = json.loads((folder / "order.json").read_text())
        assert order["runtimes"] == ["litert"]
        assert (order["rounds"], order["in_turn"]) == (2, 10)
        assert (order["inputs"], order["enough_ms"]) == (2, 60_000)
        assert np.frombuffer((folder / "inputs.bin").read_bytes(), "<f4").tolist() == [0.0] * 192 + [1.0] * 192
        assert base64.b64decode(order["pictures"][0]) == b"a picture"
        assert (folder / "litert" / "index.html").is_file()
        assert (folder / name).is_file()
        return {"browser": "Chrome/1", "runtimes": {"litert": answer}, "rows": [row]}

    monkeypatch.setattr(timing, "ask_page", ask_page)
    work = tmp_path / "work"
    work.mkdir()
    inputs = np.stack([np.zeros((3, 8, 8)), np.ones((3, 8, 8))]).astype(np.float32)
    candidate = Candidate(page(), model, LOGITS)
    return time_candidates([candidate], inputs, Pictures([b"a picture"], ROW), packages, work, "a desk", runs=20)


def test_figures_are_those_of_the_answers_by_hand(monkeypatch, tmp_path, page, packages) -> None:
    found = asked(monkeypatch, tmp_path, page, packages, {"logits": [[1.0, -2.1], [4.0, 3.9]]}, lighter=2)
    (one,) = found.timings
    assert (one.p50_ms, one.p90_ms, one.runs, one.load_ms) == (10.0, 18.0, 20, 5.0)
    assert one.max_difference == pytest.approx(3.5)
    assert one.relative_difference == pytest.approx(3.5 / 4)
    assert (one.agreement, one.rows, one.where) == (0.5, 2, "Chrome/1; a desk")
    assert found.picture_difference == 2


def test_several_labels_are_decided_one_by_one(monkeypatch, tmp_path, page, packages) -> None:
    def several(**changes: Any) -> PageModel:
        return page(kind="multi-label", **changes)

    found = asked(monkeypatch, tmp_path, several, packages, {"logits": [[0.1, 2.0], [0.5, 4.0]]})
    assert found.timings[0].agreement == 0.75


def test_what_was_not_answered_in_time_is_not_compared(monkeypatch, tmp_path, page, packages) -> None:
    (one,) = asked(monkeypatch, tmp_path, page, packages, {"logits": [[1.0, -1.5]]}).timings
    assert (one.rows, one.max_difference, one.relative_difference, one.agreement) == (1, 0.5, 0.25, 1.0)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"error": "an operation"}, "it did not run in Chromium (an operation)"),
        ({"logits": [[1.0], [2.0]]}, "it answered in Chromium with [1] logits where Python has 2"),
    ],
)
def test_one_that_does_not_run_has_a_reason_and_no_timing(monkeypatch, tmp_path, page, packages, found, why) -> None:
    timed = asked(monkeypatch, tmp_path, page, packages, found)
    assert (timed.timings, timed.failed, timed.picture_difference) == ((), {"litert": why}, 0)


@pytest.mark.parametrize(
    ("precision", "difference", "agreement", "words"),
    [
        ("float32", 0.9e-4, 0.75, ""),
        ("float32", 1.1e-4, 1.0, "0.00011 of the largest one, 100.0% of 4 decisions are equal (at most 0.0001)"),
        ("weights-int4", 0.9e-4, 1.0, ""),
        ("weights-int4", 1.1e-4, 1.0, "(at most 0.0001)"),
        ("float16", 0.9e-2, 0.75, ""),
        ("float16", 1.1e-2, 1.0, "(at most 0.01)"),
        ("int8", 0.09, 0.99, ""),
        ("int8", 0.11, 1.0, "(at most 0.1, and 98% of decisions equal)"),
        ("dynamic-int8", 0.0, 0.97, "97.0% of 4 decisions are equal (at most 0.1, and 98% of decisions equal)"),
    ],
)
def test_how_near_answers_have_to_be_is_said_by_the_precision(page, precision, difference, agreement, words) -> None:
    timed = TIMED.model_copy(update={"relative_difference": difference, "agreement": agreement})
    why = why_wrong(timed, page(precision=precision))
    assert words in why
    assert bool(words) == bool(why)


def test_a_page_that_resizes_otherwise_is_refused() -> None:
    refuse_other_pictures(1)
    with pytest.raises(ModelError, match="2 grey levels"):
        refuse_other_pictures(2)
