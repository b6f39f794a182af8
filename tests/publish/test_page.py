"""The page's files: the same from the same model, escaped, bound to their hashes, and put in place in one step."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

import galenic.reporting.html as report
from galenic.publish.web.page import ASSETS, BUILD_FILE, fill_page, input_words, refuse_others, replace_folder
from galenic.record.errors import InputError
from galenic.record.preprocessing import Picture, Resample
from galenic.record.web import PageModel, PageVerdict

MakePage = Callable[..., PageModel]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"a model")
    return path


def filled(folder: Path, page: PageModel, model: Path, packages: Path) -> tuple[Path, str, dict[str, str]]:
    folder.mkdir()
    written = fill_page(folder, page, model, packages)
    return folder, written.build, dict(written.files)


def test_every_file_is_told_with_its_hash_and_the_same_model_gives_the_same_page(
    tmp_path: Path, page: MakePage, model: Path, packages: Path
) -> None:
    folder, build, files = filled(tmp_path / "one", page(), model, packages)
    on_disk = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert files.keys() == on_disk.keys()
    assert all(sha256(on_disk[name].read_bytes()).hexdigest() == digest for name, digest in files.items())
    assert (folder / "model/model.tflite").read_bytes() == b"a model"
    assert PageModel.model_validate_json((folder / "model.json").read_text()) == page()
    assert "Apache License" in (folder / "LICENSE.txt").read_text()
    _, again, same = filled(tmp_path / "two", page(), model, packages)
    assert (again, same) == (build, files)
    _, other, _ = filled(tmp_path / "three", page(name="another"), model, packages)
    assert other != build


def test_it_has_the_scripts_of_its_own_runtime_alone(
    tmp_path: Path, page: MakePage, model: Path, packages: Path
) -> None:
    _, _, litert = filled(tmp_path / "one", page(), model, packages)
    _, _, onnx = filled(tmp_path / "two", page(runtime="onnxruntime", file="model/model.onnx"), model, packages)
    assert "js/litert.js" in litert
    assert "js/onnxruntime.js" not in litert
    assert "runtime/ort.js" in onnx
    assert "runtime/litert.js" not in onnx
    assert not any(name.endswith(".mjs") for name in (*litert, *onnx)), "servers do not know their type"


def test_the_worker_knows_every_file_and_the_build(tmp_path: Path, page: MakePage, model: Path, packages: Path) -> None:
    folder, build, files = filled(tmp_path / "one", page(), model, packages)
    worker = (folder / "sw.js").read_text()
    assert f'const BUILD = "{build}";' in worker
    kept = json.loads(re.search(r"const FILES = (.*);\n", worker)[1])  # type: ignore[index]
    assert kept == {name: digest for name, digest in files.items() if name != "sw.js"}
    assert "litert_wasm_threaded_internal" in re.search(r"const VARIANTS = (.*);\n", worker)[1]  # type: ignore[index]


def test_the_page_says_what_it_is_and_forbids_the_rest(
    tmp_path: Path, page: MakePage, model: Path, packages: Path
) -> None:
    hostile = "<script>alert(1)</script>"
    verdict = PageVerdict(value="inconclusive", sentence="It is not known.")
    folder, _, _ = filled(tmp_path / "one", page(name=hostile, verdict=verdict, synthetic=True), model, packages)
    text = (folder / "index.html").read_text()
    assert hostile not in text
    assert "&lt;script&gt;alert(1)" in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'")
    assert "unsafe-inline" not in policy[1]
    assert "http" not in policy[1]
    assert not re.findall(r"<script(?! type=\"module\" src)|<style| style=| on\w+=", text), "nothing inline"
    for words in ("for evaluation; not a medical device", "SYNTHETIC", "It is not known.", "abababababababab…", "1.23"):
        assert words in text
    plain, _, _ = filled(tmp_path / "two", page(), model, packages)
    assert "No verdict: this very file" in (plain / "index.html").read_text()
    assert "SYNTHETIC" not in (plain / "index.html").read_text()
    assert "<dt>Made by</dt><dd>resnet8 + supervised</dd>" in (plain / "index.html").read_text()
    unknown, _, _ = filled(tmp_path / "three", page(lineage=()), model, packages)
    assert "<dt>Made by</dt><dd>not recorded</dd>" in (unknown / "index.html").read_text()


def test_what_the_model_sees_is_said_in_words(page: MakePage) -> None:
    assert input_words(page()) == "The model sees the middle square of the picture, as 8 × 8 colour pixels (bicubic)."
    squeezed = Picture(cropped=False, resample=Resample.BILINEAR)
    words = input_words(page(picture=squeezed, preprocessing=page().preprocessing.model_copy(update={"picture": None})))
    assert words.startswith(
        "The model sees the whole picture, squeezed to a square, as 8 × 8 colour pixels (bilinear)."
    )
    assert "is not recorded" in words


def test_a_page_takes_the_place_of_an_earlier_one_alone(tmp_path: Path) -> None:
    target = tmp_path / "new" / "page"

    def fill(text: str) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            for name in (BUILD_FILE, "sw.js"):
                (folder / name).write_text(text)

        return write

    replace_folder(target, fill("1"))
    assert target.stat().st_mode & 0o777 == 0o755, "a server may read it"
    replace_folder(target, fill("2"))
    assert (target / "sw.js").read_text() == "2"
    assert [path.name for path in target.parent.iterdir()] == ["page"]

    def broken(folder: Path) -> None:
        fill("3")(folder)
        raise RuntimeError("half of it")

    with pytest.raises(RuntimeError):
        replace_folder(target, broken)
    assert (target / "sw.js").read_text() == "2"
    assert [path.name for path in target.parent.iterdir()] == ["page"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        replace_folder(tmp_path, lambda folder: None)
    with pytest.raises(InputError, match="holds other files"):
        refuse_others(tmp_path / "thesis.tex")
    (tmp_path / "empty").mkdir()
    refuse_others(tmp_path / "empty")
    refuse_others(tmp_path / "none")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_its_colours_are_those_of_the_report() -> None:
    def colours(path: Path) -> list[str]:
        return re.findall(r"(--[a-z-]+\d?): (#[0-9a-f]+)", path.read_text().split("*, *::before")[0])

    own, theirs = colours(ASSETS / "page.css"), colours(report.TEMPLATES / "page.css.j2")
    assert len(own) > 20
    assert set(own) <= set(theirs)
    assert own == [one for one in theirs if one in own]
