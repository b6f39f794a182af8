"""A page that is asked in a browser: here a program in its place, which does what its script would do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from galenic.publish.web import chromium
from galenic.publish.web.chromium import ask_page, find_chromium, require_chromium
from galenic.record.errors import MissingPackage, ModelError

BROWSER = f"""#!{sys.executable}
import sys, time, urllib.request
address = sys.argv[-1]
with urllib.request.urlopen(address) as page:
    isolated = page.headers["Cross-Origin-Opener-Policy"] + " " + page.headers["Cross-Origin-Embedder-Policy"]
    text = page.read()
WORK
def send(data):
    urllib.request.urlopen(urllib.request.Request(address.rsplit("/", 1)[0] + "/result", data=data, method="POST")).close()
"""


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A browser that does the given lines of Python; ``text`` is the page, ``send`` sends bytes to /result."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "page.html").write_text("42")

    def made(*lines: str) -> Path:
        program = tmp_path / "browser"
        head, send = BROWSER.split("WORK\n")
        program.write_text(head + send + "\n".join(lines) + "\n")
        program.chmod(0o755)
        monkeypatch.setattr(chromium, "find_chromium", lambda: str(program))
        return site

    return made


def test_what_the_page_sends_comes_back_and_its_clock_is_fine(browser) -> None:
    site = browser("send(b'[' + text + b', \"' + isolated.encode() + b'\"]')", "time.sleep(60)")
    assert ask_page(site, "page.html", 20) == [42, "same-origin require-corp"]


def test_an_error_of_the_page_is_told(browser) -> None:
    site = browser('send(b\'{"error": "no such operation"}\')')
    with pytest.raises(ModelError, match="no such operation"):
        ask_page(site, "page.html", 20)


def test_a_browser_that_ends_or_says_nothing_is_told(browser) -> None:
    with pytest.raises(ModelError, match="ended with code 3"):
        ask_page(browser("sys.exit(3)"), "page.html", 20)
    with pytest.raises(ModelError, match=r"did not answer within 0\.5 s"):
        ask_page(browser("time.sleep(60)"), "page.html", 0.5)


def test_without_a_browser_the_choice_has_to_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium() is None
    with pytest.raises(MissingPackage, match="--web-runtime litert"):
        require_chromium()
    program = tmp_path / "google-chrome"
    program.write_text("")
    program.chmod(0o755)
    assert require_chromium() == str(program)
