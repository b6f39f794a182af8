"""``galenic export``: what is shown of files and of a page, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from galenic.cli.main import app
from galenic.pipeline import export as exporting
from galenic.pipeline import web_cache
from galenic.pipeline.recipes import packaged_recipe, packaged_text
from galenic.record.artifact import IntegerOps
from galenic.record.errors import ExitCode, InputError, MissingPackage
from galenic.record.export import ExportedFile, ExportResult, FailedExport
from galenic.record.report import Parity
from galenic.record.web import BrowserTiming, WebBuild

FILE = ExportedFile(
    path="files/demo-litert.tflite",
    runtime="litert",
    precision="int8",
    sha256="0" * 64,
    size_bytes=320_000,
    integer_ops=IntegerOps(integer=9, floating=1, expected=10, left_float=("stem",)),
    parity=Parity(
        max_difference=0.5,
        agreement=0.996,
        n=256,
        against="its simulation",
        relative_difference=0.0123,
        mean_difference=0.002,
    ),
    caveat="not the device",
    seconds=12.34,
)
PLAIN = FILE.model_copy(
    update={
        "runtime": "onnxruntime",
        "integer_ops": None,
        "parity": Parity(max_difference=0.1, agreement=1, n=256, relative_difference=1e-6, mean_difference=2e-7),
        "seconds": None,
    }
)
NOT_RUN = FILE.model_copy(update={"runtime": "tensorrt", "parity": None, "caveat": "not run: no NVIDIA card here"})
FAILED = FailedExport(what="c", given="a softmax", expected="operations that it has", todo="choose litert")
TIMED = BrowserTiming(
    runtime="litert", p50_ms=0.744, p90_ms=0.9, runs=100, load_ms=70, threads=1, max_difference=0, relative_difference=0,
    agreement=1, rows=16, where="Chrome/1; a desk",
)  # fmt: skip
BUILD = WebBuild(
    build="ab",
    runtime="litert",
    because="LiteRT.js was asked for",
    timings=(TIMED,),
    left_out={"onnxruntime": "an operation that it lacks"},
    packages={},
    files={},
)


def run(tmp_path: Path, *options: str) -> Result:
    recipe = tmp_path / "r.toml"
    recipe.write_text(packaged_text("demo"))
    command = ["export", str(recipe), "--store", str(tmp_path / "store"), *options]
    return CliRunner().invoke(app, command, env={"COLUMNS": "120", "NO_COLOR": "1"})


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the verb was asked for; it answers with two files and, where it was wished for, a page."""
    given: list[tuple[Any, ...]] = []

    def export(*parts: Any) -> exporting.Exported:
        given.append(parts)
        page = BUILD if parts[4] is not None else None
        files = (FILE, PLAIN) if parts[2] or page is None else ()
        result = ExportResult(
            name="demo", title="net + static_int8", split="validation", files=files, page=page, notes=("a note",),
            recipe=packaged_recipe("demo"),
        )  # fmt: skip
        return exporting.Exported(result, tmp_path / "out")

    monkeypatch.setattr(exporting, "export", export)
    return given


def test_each_file_is_a_line_with_what_was_found(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    text = run(tmp_path, "--runtime", "litert", "--runtime", "onnxruntime", "--output", str(tmp_path / "out")).output
    assert asked[0][2:5] == (["litert", "onnxruntime"], tmp_path / "out", None)
    rows = {line.split()[0]: " ".join(line.split()) for line in text.splitlines() if line}
    assert rows["litert"] == "litert int8 320 KB 12.3 s 9 of 10 1.23 % 0.20 % 99.6 % 256"
    assert rows["onnxruntime"] == "onnxruntime int8 320 KB – – 1e-06 2e-07 100.0 % 256", "without its time, before"
    text = " ".join(text.split())
    assert "the test set was not read" in text
    assert "over the largest logit: from its simulation or the torch model" in text
    assert "• litert: not the device" in text
    assert "• litert computes on floats: stem" in text
    assert "• a note" in text
    assert str(tmp_path / "out" / "files") in text


def test_what_was_not_run_and_what_was_not_made_is_said(
    tmp_path: Path, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = exporting.export

    def partly(*parts: Any) -> exporting.Exported:
        made = plain(*parts)
        result = made.result.model_copy(update={"files": (NOT_RUN,), "failed": (FAILED,)})
        return exporting.Exported(result, made.folder)

    monkeypatch.setattr(exporting, "export", partly)
    done = run(tmp_path, "--runtime", "tensorrt", "--runtime", "c")
    assert done.exit_code == ExitCode.USAGE == 2
    assert "not run" in next(line for line in done.output.splitlines() if line.startswith("tensorrt"))
    assert "• tensorrt: not run: no NVIDIA card here" in done.output
    assert "from its simulation" not in done.output
    assert "✗ c was not made: a softmax; expected operations that it has; choose litert" in done.output


def test_a_page_shows_what_was_measured_and_how_to_look_at_it(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    page = tmp_path / "page"
    text = run(tmp_path, "--web", str(page), "--web-runtime", "litert").output
    wish = asked[0][4]
    assert (asked[0][2], wish.folder, wish.runtime) == ((), page, "litert")
    assert "0.74 ms  0.90 ms" in text
    assert "• Chrome/1; a desk, one thread, inference alone" in text
    assert "• LiteRT.js was asked for" in text
    assert "• onnxruntime was left out: an operation that it lacks" in text
    assert f"python -m http.server --directory {page}" in text


def test_packages_are_fetched_when_asked_and_not_otherwise(
    tmp_path: Path, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Path] = []
    monkeypatch.setattr(web_cache, "fetch_packages", lambda cache, progress: fetched.append(cache) or cache / "here")
    monkeypatch.setenv("GALENIC_DATA", str(tmp_path))
    run(tmp_path, "--web", str(tmp_path / "page"))
    assert fetched == []
    alone = CliRunner().invoke(app, ["export", "--web-setup"])
    assert fetched == [tmp_path / "web"]
    assert str(tmp_path / "web" / "here") in alone.output
    assert len(asked) == 1


def test_what_cannot_be_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = CliRunner().invoke(app, ["export"]).exception
    assert isinstance(nothing, InputError)
    assert "galenic export RECIPE" in nothing.todo
    monkeypatch.setenv("GALENIC_DATA", str(tmp_path / "none"))
    error = run(tmp_path, "--web", str(tmp_path / "page"), "--web-runtime", "litert").exception
    assert isinstance(error, MissingPackage)
    assert "galenic export --web-setup" in error.todo
    assert not (tmp_path / "store").exists()
