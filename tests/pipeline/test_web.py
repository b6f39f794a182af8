"""Which runtime a page gets, and why: the exporters, the browser and the packages stand-ins, the rules our own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galenic.pipeline import web
from galenic.pipeline.recipes import packaged_recipe
from galenic.pipeline.setting import Setting
from galenic.pipeline.walk import LastModel
from galenic.pipeline.web import WebWish, check_wish, drawn_pictures, write_web
from galenic.publish.web import chromium
from galenic.publish.web.packages import package_folder
from galenic.publish.web.timing import Timed
from galenic.record.artifact import Artifact
from galenic.record.errors import InputError, MissingPackage, ModelError
from galenic.record.gate import Verdict
from galenic.record.preprocessing import Picture
from galenic.record.web import BrowserTiming, PageModel, PageVerdict, WebBuild
from galenic.store.files import file_sha256
from galenic.store.stages import Store
from galenic.zoo.build import build as build_net
from web_packages import fill_packages

SUFFIXES = {"litert": ".tflite", "onnxruntime": ".onnx"}


@dataclass
class Gate:
    verdict: Verdict
    artifact_sha256: str


@dataclass
class Told:
    """As much of a Report as a page reads."""

    gate: Gate
    sentence: str = "It is not worse."


@dataclass
class Session:
    artifact: Artifact

    def run(self, inputs: np.ndarray) -> np.ndarray:
        return np.zeros((len(inputs), 2), np.float32)


def timing(runtime: str, p50_ms: float, relative_difference: float = 0.0) -> BrowserTiming:
    return BrowserTiming(
        runtime=runtime, p50_ms=p50_ms, p90_ms=p50_ms, runs=100, load_ms=1, threads=1, max_difference=0,
        relative_difference=relative_difference, agreement=1, rows=16, where="Chrome",
    )  # fmt: skip


@pytest.fixture
def wish(tmp_path: Path) -> WebWish:
    cache = tmp_path / "cache"
    fill_packages(package_folder(cache))
    return WebWish(tmp_path / "page", cache=cache)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task) -> tuple[Setting, LastModel]:
    """A setting and a model whose files, in either runtime, are a few bytes."""

    def export_stage(setting: Setting, model: Any, runtime: str) -> Artifact:
        path = tmp_path / f"model{SUFFIXES[runtime]}"
        path.write_text(runtime)
        return Artifact(
            path=path, runtime=runtime, precision="float32", sha256=file_sha256(path), size_bytes=path.stat().st_size,
            lineage=("net",), preprocessing=task.preprocessing, classes=task.classes,
        )  # fmt: skip

    monkeypatch.setattr(web, "export_stage", export_stage)
    monkeypatch.setattr(web, "open_session", lambda artifact, threads: Session(artifact))
    monkeypatch.setattr(web, "find_chromium", lambda: "chromium")
    return Setting(task, Store(tmp_path / "store")), LastModel(None, packaged_recipe("demo"))  # type: ignore[arg-type]


def times(monkeypatch: pytest.MonkeyPatch, *found: BrowserTiming, picture_difference: int = 0, **failed: str) -> None:
    def time_candidates(candidates, inputs, *given: Any) -> Timed:
        assert len(inputs) == len(candidates[0].logits) == 48, "all rows of validation, as there are fewer than 256"
        names = [one.page.runtime for one in candidates]
        return Timed(tuple(one for one in found if one.runtime in names), picture_difference, failed)

    monkeypatch.setattr(web, "time_candidates", time_candidates)


def test_the_faster_one_is_taken_and_the_figures_are_written(monkeypatch, made, wish) -> None:
    times(monkeypatch, timing("litert", 2.0), timing("onnxruntime", 1.5))
    build = write_web(*made, wish)
    assert WebBuild.model_validate_json((wish.folder / "build.json").read_text()) == build
    assert (build.runtime, build.left_out, build.picture_difference) == ("onnxruntime", {}, 0)
    assert (
        build.because
        == "ONNX Runtime Web was the faster of the two here: median LiteRT.js 2.00 ms, ONNX Runtime Web 1.50 ms"
    )
    assert build.packages == {"onnxruntime-web": "1.2.3"}
    assert [one.p50_ms for one in build.timings] == [2.0, 1.5]
    page = PageModel.model_validate_json((wish.folder / "model.json").read_text())
    assert (page.name, page.kind, page.synthetic, page.verdict) == ("demo", "single-label", True, None)
    assert page.picture == Picture()
    assert (wish.folder / page.file).read_text() == "onnxruntime"
    assert file_sha256(wish.folder / page.file) == page.sha256 == build.files[page.file]


def test_one_that_answers_otherwise_than_python_is_left_out(monkeypatch, made, wish) -> None:
    times(monkeypatch, timing("litert", 1.0, relative_difference=0.3), timing("onnxruntime", 5.0))
    build = write_web(*made, wish)
    assert build.runtime == "onnxruntime"
    assert "its logits differ from Python's by 0.3" in build.left_out["litert"]
    assert build.because.startswith("ONNX Runtime Web alone can have it (litert: its logits")
    times(
        monkeypatch, timing("litert", 1.0, relative_difference=0.3), timing("onnxruntime", 5.0, relative_difference=1)
    )
    with pytest.raises(ModelError, match="which no runtime of a browser can have"):
        write_web(*made, replace(wish, folder=wish.folder.parent / "other"))
    assert not (wish.folder.parent / "other").exists()


def test_one_that_does_not_run_in_the_browser_is_left_out(monkeypatch, made, wish) -> None:
    times(monkeypatch, timing("onnxruntime", 5.0), litert="it did not run in Chromium (no such op)")
    build = write_web(*made, wish)
    assert (build.runtime, build.left_out) == ("onnxruntime", {"litert": "it did not run in Chromium (no such op)"})
    assert [one.runtime for one in build.timings] == ["onnxruntime"]
    times(monkeypatch, litert="it did not run", onnxruntime="nor did it")
    with pytest.raises(ModelError, match=r"can have \(litert: it did not run; onnxruntime: nor did it\)"):
        write_web(*made, wish)
    times(monkeypatch, litert="it did not run")
    with pytest.raises(ModelError, match="litert: it did not run"):
        write_web(*made, replace(wish, runtime="litert"))


def test_a_model_that_nothing_made_is_named_by_its_architecture(monkeypatch, made, wish) -> None:
    plain, (setting, last) = web.export_stage, made
    monkeypatch.setattr(web, "export_stage", lambda *given: plain(*given).model_copy(update={"lineage": ()}))
    times(monkeypatch, timing("litert", 1.0), timing("onnxruntime", 2.0))
    write_web(setting, replace(last, model=build_net("mlp", (3,), 2)), wish)
    assert PageModel.model_validate_json((wish.folder / "model.json").read_text()).lineage == ("mlp",)
    assert "<dt>Made by</dt><dd>mlp</dd>" in (wish.folder / "index.html").read_text()


def test_one_that_cannot_hold_the_model_is_left_out_unless_it_was_asked_for(monkeypatch, made, wish) -> None:
    plain = web.export_stage

    def refusing(setting: Setting, model: Any, runtime: str) -> Artifact:
        if runtime == "litert":
            raise ModelError("an operation that it lacks", "another", "change it")
        return plain(setting, model, runtime)

    monkeypatch.setattr(web, "export_stage", refusing)
    times(monkeypatch, timing("onnxruntime", 1.0))
    build = write_web(*made, wish)
    assert (build.runtime, build.left_out) == ("onnxruntime", {"litert": "an operation that it lacks"})
    with pytest.raises(ModelError, match="an operation that it lacks"):
        write_web(*made, replace(wish, runtime="litert"))


def test_one_that_was_asked_for_is_checked_where_a_browser_is_there(monkeypatch, made, wish) -> None:
    times(monkeypatch, timing("litert", 9.0), timing("onnxruntime", 1.0))
    build = write_web(*made, replace(wish, runtime="litert"))
    assert (build.runtime, build.because) == ("litert", "LiteRT.js was asked for")
    assert [one.runtime for one in build.timings] == ["litert"]
    monkeypatch.setattr(web, "find_chromium", lambda: None)
    build = write_web(*made, replace(wish, runtime="litert"))
    assert (build.timings, build.picture_difference) == ((), None)
    assert build.because == "LiteRT.js was asked for; no Chromium was here to check or time it"


def test_a_page_that_resizes_otherwise_is_not_written(monkeypatch, made, wish) -> None:
    times(monkeypatch, timing("litert", 1.0), timing("onnxruntime", 2.0), picture_difference=9)
    with pytest.raises(ModelError, match="9 grey levels"):
        write_web(*made, wish)
    assert not wish.folder.exists()


def test_a_verdict_is_shown_for_the_very_file_alone(monkeypatch, made, wish) -> None:
    times(monkeypatch, timing("litert", 1.0), timing("onnxruntime", 2.0))
    write_web(*made, wish)
    sha256 = PageModel.model_validate_json((wish.folder / "model.json").read_text()).sha256
    for found, verdict in ((sha256, PageVerdict(value="fail", sentence="It is not worse.")), ("0" * 64, None)):
        write_web(*made, replace(wish, report=Told(Gate(Verdict.FAIL, found))))  # type: ignore[arg-type]
        assert PageModel.model_validate_json((wish.folder / "model.json").read_text()).verdict == verdict


def test_what_a_page_needs_is_looked_for_before_any_work(wish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "find_chromium", lambda: "chromium")
    check_wish(wish)
    with pytest.raises(MissingPackage, match="galenic export --web-setup"):
        check_wish(replace(wish, cache=tmp_path / "none"))
    with pytest.raises(InputError, match="the runtime 'openvino' for a page"):
        check_wish(replace(wish, runtime="openvino"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("")
    with pytest.raises(InputError, match="holds other files"):
        check_wish(replace(wish, folder=tmp_path / "full"))
    monkeypatch.setattr(chromium, "find_chromium", lambda: None)
    with pytest.raises(MissingPackage, match="choose yourself"):
        check_wish(wish)
    check_wish(replace(wish, runtime="litert"))


def test_the_pictures_that_are_compared_are_of_the_tasks_own_kind(task) -> None:
    found = drawn_pictures(task.preprocessing)
    assert found.rows.shape == (len(found.files), *task.preprocessing.raw_shape)
    assert all(file.startswith(b"\x89PNG") for file in found.files)
    assert len({row.tobytes() for row in found.rows}) == len(found.files)
