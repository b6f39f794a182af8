"""report.html in a real browser: desktop and phone, light and dark, offline."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from galenic.reporting.html import render_html

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
REPORTS = ("passing", "failing", "undecided", "multi_class")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

pytestmark = pytest.mark.browser


def _samples() -> Any:
    spec = importlib.util.spec_from_file_location("report_samples", HERE.parent / "reporting" / "sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _look(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a reader meets on each page, as ``open.mjs`` tells it."""
    if not CHROMIUM.exists() or shutil.which("node") is None:
        pytest.skip(f"needs {CHROMIUM} and node")
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=300)
    command = ["node", "open.mjs", json.dumps({"pages": pages})]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(report, screen, colour scheme) -> what was met; the passing report everywhere, the others once."""
    folder, samples, wanted = tmp_path_factory.mktemp("pages"), _samples(), []
    for name in REPORTS:
        (folder / f"{name}.html").write_text(render_html(getattr(samples, name)()), encoding="utf-8")
    (folder / "hostile.html").write_text(render_html(samples.hostile(HOSTILE)), encoding="utf-8")
    wanted = [("passing", screen, scheme) for screen in SCREENS for scheme in ("light", "dark")]
    wanted += [("failing", "desktop", "dark"), ("undecided", "phone", "light"), ("multi_class", "phone", "dark")]
    wanted += [("hostile", "phone", "light")]
    pages = [
        {"url": (folder / f"{name}.html").as_uri(), "width": SCREENS[s][0], "height": SCREENS[s][1], "scheme": scheme}
        for name, s, scheme in wanted
    ]
    return dict(zip(wanted, _look(pages), strict=True))


def test_there_is_no_error_and_no_request(visits: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    for key, seen in visits.items():
        assert seen["errors"] == [], key
        assert len(seen["requests"]) == 1, key
        assert seen["requests"][0].startswith("file://"), key


def test_nothing_runs_out_of_the_page(visits: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    for key, seen in visits.items():
        assert (seen["overflow"], seen["overflowAfterSwitch"]) == (0, 0), key


def test_the_verdict_is_seen_without_scrolling(visits: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    for key, seen in visits.items():
        if key[0] == "hostile":
            continue
        assert seen["verdict"]["text"].startswith(("Pass:", "Fail:", "Inconclusive:")), key
        assert 0 < seen["verdict"]["top"] < 300, key
        assert seen["verdict"]["height"] > 20, key
        assert seen["verdict"]["bottom"] < SCREENS[key[1]][1], key


def test_the_plot_is_drawn_and_answers_the_pointer(visits: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    for key, seen in visits.items():
        assert seen["marks"] == 6, key
        assert "(chosen)" in seen["hover"], key
        assert "Accuracy 91.5 %" in seen["hover"], key


def test_the_hostile_name_is_shown_as_text(visits: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    assert "<script>alert(1)" in visits["hostile", "phone", "light"]["hover"]


def test_headings_step_down_one_at_a_time(visits: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    for key, seen in visits.items():
        levels = seen["headings"]
        assert levels[0] == 1, key
        assert all(after <= before + 1 for before, after in pairwise(levels)), key


def test_text_can_be_read_in_both_schemes(visits: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    for key, seen in visits.items():
        ratio, where = seen["contrast"]
        assert ratio >= 4.5, (key, where)


def test_the_page_and_the_plot_follow_the_colour_scheme(visits: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    light, dark = visits["passing", "desktop", "light"], visits["passing", "desktop", "dark"]
    assert light["ground"] != dark["ground"]
    assert light["plotInk"] != dark["plotInk"]
    assert light["plotInkAfterSwitch"] == dark["plotInk"]
    assert dark["plotInkAfterSwitch"] == light["plotInk"]
