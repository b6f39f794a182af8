"""A headless Chromium that opens a page from a folder and hands back what the page's script found.

The folder is served on this machine's own address, to this process's browser alone, and isolated from other origins (COOP, COEP):
the browser's clock has its finest steps then, 5 microseconds. The page sends its result to ``/result``. Nothing else is contacted.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from galenic.record.errors import MissingPackage, ModelError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
POLL_S = 0.2
FLAGS = (
    "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-quic",
)  # fmt: skip


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def require_chromium() -> str:
    """The same; MissingPackage where there is none."""
    found = find_chromium()
    if found is None:
        raise MissingPackage(
            given="no Chromium and no Chrome here, so the page's runtimes cannot be timed in a browser",
            expected=f"one of {', '.join(NAMES)} on the PATH",
            todo="install it, or choose yourself: --web-runtime litert or --web-runtime onnxruntime",
        )
    return found


def ask_page(folder: Path, page: str, timeout_s: float) -> Any:
    """Open ``page`` of ``folder`` in Chromium and return the JSON that it sends.

    Raises:
        MissingPackage: no browser is installed.
        ModelError: the page sent {"error": ...}, the browser ended, or nothing came in time.
    """
    chromium = require_chromium()
    with _served(folder) as (address, answers), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        command = [chromium, *FLAGS, *as_root, f"--user-data-dir={profile}", f"{address}/{page}"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as browser:
            try:
                found = _first(answers, browser, timeout_s)
            finally:
                _end(browser)
    if isinstance(found, dict) and "error" in found:
        raise _failed(str(found["error"]))
    return found


def _first(answers: queue.Queue[Any], browser: subprocess.Popen[bytes], timeout_s: float) -> Any:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            return answers.get(timeout=POLL_S)
        except queue.Empty:
            if browser.poll() is not None:
                raise _failed(f"the browser ended with code {browser.returncode}") from None
    raise _failed(f"the browser did not answer within {timeout_s:g} s")


def _end(browser: subprocess.Popen[bytes]) -> None:
    """End the browser and what it started, which is all in a session of its own; its profile is thrown away."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(browser.pid, signal.SIGKILL)


def _failed(why: str) -> ModelError:
    return ModelError(
        given=f"the model did not run in Chromium: {why[:400]}",
        expected="a page that loads the model and answers",
        todo="choose the other runtime with --web-runtime, or export the model again",
    )


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[tuple[str, queue.Queue[Any]]]:
    """Serve ``folder`` to this machine; what is sent to /result comes into the queue."""
    answers: queue.Queue[Any] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(folder))

        def end_headers(self) -> None:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            answers.put(json.loads(data))

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
