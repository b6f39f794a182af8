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
    answer = {"times_ms": TIMES, "logits": LOGITS.tolist(), "load_ms": 5.0, "threads": 1} | found
    row = base64.b64encode((ROW[0] + np.uint8(changes.get("lighter", 0))).tobytes()).decode()

    def ask_page(folder: Path, name: str, timeout_s: float) -> Any:
        order = json.loads((folder / "order.json").read_text())
        assert order["runtimes"] == ["litert"]
        assert (order["rounds"], order["in_turn"]) == (2, 10)
        values = np.frombuffer(base64.b64decode(order["inputs"][1]), "<f4")
        assert values.tolist() == [1.0] * 192
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


def test_answers_of_another_shape_are_refused(monkeypatch, tmp_path, page, packages) -> None:
    with pytest.raises(ModelError, match=r"shape \(2, 1\)"):
        asked(monkeypatch, tmp_path, page, packages, {"logits": [[1.0], [2.0]]})


def test_floats_have_to_be_nearer_to_python_than_integers(page) -> None:
    assert "0.01 of the largest one (at most 0.001); 75% of 4 decisions" in why_wrong(TIMED, page())
    assert why_wrong(TIMED, page(precision="int8")) == ""
    assert why_wrong(TIMED.model_copy(update={"relative_difference": 0.5}), page(precision="int8"))
    assert why_wrong(TIMED.model_copy(update={"relative_difference": 1e-5}), page()) == ""


def test_a_page_that_resizes_otherwise_is_refused() -> None:
    refuse_other_pictures(1)
    with pytest.raises(ModelError, match="2 grey levels"):
        refuse_other_pictures(2)
