"""The page of ``galenic export --web`` in a real browser: Python's own answers, offline, alone with its origin, and in words.

The net is drawn, with a last layer whose weights are enlarged, so that its answers depend on every pixel of the input.
"""

from __future__ import annotations

import base64
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from galenic.exporters.load import exporter_for
from galenic.pipeline.web import drawn_pictures
from galenic.pipeline.web_cache import web_cache
from galenic.preprocess.image import Resample, decode, resize
from galenic.preprocess.picture import picture_rows
from galenic.preprocess.transform import to_inputs
from galenic.publish.web.packages import fetch_packages
from galenic.publish.web.page import fill_page
from galenic.publish.web.timing import Candidate, time_candidates, why_wrong
from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.task import SplitName, TaskKind
from galenic.record.web import PageModel, PageVerdict
from galenic.runtimes.answer import postprocess, run_raw
from galenic.runtimes.load import open_session
from galenic.tasks.lesions import draw_split
from galenic.zoo.build import build

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
SIDE, ROWS, CLASSES = 24, 40, ("benign", "malignant", "neither <b>")
RUNTIMES = ("litert", "onnxruntime")
SPEC = Preprocessing(
    modality=Modality.IMAGE, raw_shape=(SIDE, SIDE, 3), scale=1 / 255, mean=(0.61, 0.45, 0.38), std=(0.21, 0.2, 0.19)
)
SENTENCE = "This file is not worse than its reference by more than the margins."

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def packages() -> Path:
    if not CHROMIUM.exists() or shutil.which("node") is None:
        pytest.skip(f"needs {CHROMIUM} and node")
    if not (HERE / "node_modules" / "@tensorflow").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=300)
    return fetch_packages(web_cache())


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """One net as a file for each runtime."""
    model = build("resnet8", SPEC.input_shape, len(CLASSES), options={"width": 0.5})
    with torch.no_grad():
        linear = [part for part in model.module.modules() if isinstance(part, torch.nn.Linear)][-1]
        linear.weight.mul_(12)
    model.module.eval()
    folder = tmp_path_factory.mktemp("files")
    return {
        name: exporter_for(name).export(
            model, folder / f"m{exporter_for(name).suffix}", preprocessing=SPEC, classes=CLASSES
        )
        for name in RUNTIMES
    }


def page_of(artifact: Artifact, **changes: Any) -> PageModel:
    values = {
        "name": "lesions <i>",
        "task": "drawn lesions",
        "synthetic": True,
        "kind": "single-label",
        "runtime": artifact.runtime,
        "runtime_version": "0",
        "file": f"model/model{artifact.path.suffix}",
        "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes,
        "precision": artifact.precision,
        "lineage": artifact.lineage,
        "classes": artifact.classes,
        "preprocessing": artifact.preprocessing,
        "picture": artifact.preprocessing.of_pictures(),
        "verdict": PageVerdict(value="pass", sentence=SENTENCE),
    }
    return PageModel(**values | changes)


@pytest.fixture(scope="module")
def pages(packages: Path, artifacts: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page for each runtime, one for several labels, and one that was published later."""
    folder, made = tmp_path_factory.mktemp("pages"), {}
    wanted = {name: (artifacts[name], {}) for name in RUNTIMES}
    wanted["multi"] = (artifacts["onnxruntime"], {"kind": "multi-label", "synthetic": False, "verdict": None})
    wanted["later"] = (artifacts["litert"], {"name": "a later one"})
    for name, (artifact, changes) in wanted.items():
        made[name] = folder / name
        made[name].mkdir()
        fill_page(made[name], page_of(artifact, **changes), artifact.path, packages)
    return made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return dict(_pictures(tmp_path_factory.mktemp("pictures")))


def _pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    """Picture files of the kinds that decoders treat each in their own way."""
    drawn = [Image.fromarray(one) for one in draw_split(SplitName.TEST, 4, 160, 0).inputs]
    turned = Image.Exif()
    turned[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 65536, (40, 61), dtype=np.uint16)
    glass = drawn[0].copy()
    glass.putalpha(Image.linear_gradient("L").resize(glass.size))
    files: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "wide.png": (drawn[0].crop((0, 20, 160, 90)), {}),
        "tall.png": (drawn[1].crop((50, 0, 101, 160)), {"exif": turned}),
        "glass.png": (glass, {}),
        "palette.png": (drawn[2].quantize(37), {}),
        "sixteen.png": (Image.fromarray(noise), {}),
        "tiny.png": (drawn[3].resize((5, 3)), {}),
        "same.png": (drawn[3].resize((SIDE, SIDE)), {}),
        "photo.jpg": (drawn[0].crop((0, 0, 157, 101)), {"quality": 82, "exif": turned}),
        "progressive.jpg": (drawn[1], {"quality": 70, "progressive": True, "subsampling": 0}),
        "grey.jpg": (drawn[2].convert("L"), {"quality": 90}),
    }
    for name, (image, options) in files.items():
        image.save(folder / name, **options)
        yield name, folder / name
    (folder / "interlaced.png").write_bytes(interlaced_png(np.asarray(drawn[3].resize((37, 22)))))
    yield "interlaced.png", folder / "interlaced.png"


def interlaced_png(pixels: np.ndarray) -> bytes:
    """(height, width, 3) uint8 as an Adam7 PNG without filters, which Pillow reads and does not write."""
    height, width, _ = pixels.shape
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = [b"\0" + row.tobytes() for x, y, dx, dy in passes for row in pixels[y::dy, x::dx] if row.size]

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")


def visit(tmp_path: Path, *visits: dict[str, Any]) -> list[dict[str, Any]]:
    """What happened in each visit, as ``web.mjs`` tells it; nothing went wrong and nothing was asked of anybody else."""
    order = tmp_path / "visits.json"
    order.write_text(json.dumps({"visits": [one | {"folder": str(one["folder"])} for one in visits]}))
    done = subprocess.run(
        ["node", "web.mjs", str(order)], cwd=HERE, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    for one in found:
        assert one["foreign"] == []
    return found


def expected(artifact: Artifact, path: Path, kind: TaskKind = TaskKind.SINGLE_LABEL) -> np.ndarray:
    logits = run_raw(open_session(artifact), picture_rows(SPEC, path.read_bytes(), path.name))
    return postprocess(logits, kind)[0][0]


def test_the_page_answers_as_python_does(
    pages: dict[str, Path], pictures: dict[str, Path], artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    steps = [["open"], *(["give", str(path)] for path in pictures.values())]
    visits = [{"folder": pages[name], "steps": steps, "isolated": name == "litert"} for name in (*RUNTIMES, "multi")]
    seen = visit(tmp_path, *visits)
    for name, one in zip((*RUNTIMES, "multi"), seen, strict=True):
        kind = TaskKind.MULTI_LABEL if name == "multi" else TaskKind.SINGLE_LABEL
        artifact = artifacts["onnxruntime" if name == "multi" else name]
        answers = np.array([expected(artifact, path, kind) for path in pictures.values()])
        assert np.ptp(answers, axis=0).max() > 0.2, "the pictures have to matter"
        found = np.array([result["probabilities"] for result in one["results"][1:]])
        assert np.abs(found - answers).max() < 1e-4, name
        assert one["errors"] == [], name
        first = one["results"][0]
        assert first["threads"].split()[0] == ("2" if name == "litert" else "1") or first["threads"] == "4 threads"
        assert first["hash"] == "checked"
        for result, answer in zip(one["results"][1:], answers, strict=True):
            assert result["order"] == [CLASSES[index] for index in np.argsort(-answer)]
            assert float(result["widths"][0].rstrip("%")) == pytest.approx(answer.max() * 100, abs=0.02)
            assert float(result["ms"]["inference"]) > 0
            assert result["notes"] == []


def test_raw_rows_are_pillows_for_any_size_and_shape(pages: dict[str, Path], tmp_path: Path) -> None:
    random, jobs, rows = np.random.default_rng(3), [], []
    for number in range(60):
        height, width = (int(side) for side in random.integers(1, 400 if number % 4 == 0 else 90, 2))
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(float(random.uniform(0, 2))))
        data, channels, side = BytesIO(), int(random.choice([1, 3])), int(random.integers(1, 70))
        image.save(data, "PNG")
        cropped, resample = bool(random.integers(2)), Resample(str(random.choice(list(Resample))))
        path = tmp_path / f"{number}.png"
        path.write_bytes(data.getvalue())
        how = {"raw_shape": [side, side, channels], "cropped": cropped, "resample": resample.value}
        jobs.append({"path": str(path), "how": how})
        rows.append(resize(decode(data.getvalue(), "", channels), side, cropped=cropped, resample=resample))
    ((_, found),) = (
        one["results"] for one in visit(tmp_path, {"folder": pages["litert"], "steps": [["open"], ["rows", jobs]]})
    )
    for job, row, text in zip(jobs, rows, found, strict=True):
        own = np.frombuffer(base64.b64decode(text), np.uint8).reshape(row.shape)
        assert np.abs(own.astype(int) - row.astype(int)).max() == 0, job


def test_it_works_offline_after_one_visit_and_changes_when_it_is_published_anew(
    pages: dict[str, Path], pictures: dict[str, Path], artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    give = ["give", str(pictures["photo.jpg"])]
    offline = [["open"], ["kept"], ["stop"], ["open"], give]
    later = [["open"], ["kept"], ["publish", str(pages["later"])], ["update"]]
    seen = visit(
        tmp_path,
        *({"folder": pages[name], "steps": offline} for name in RUNTIMES),
        {"folder": pages["litert"], "steps": offline, "isolated": True},
        {"folder": pages["litert"], "steps": later},
        {"folder": pages["litert"], "steps": [["change", "/page.css", "body {}"], ["open"], ["kept"]]},
    )
    for name, one in zip((*RUNTIMES, "litert"), seen, strict=False):
        assert one["results"][1]["offline"] == "works offline from now on"
        assert one["results"][4]["probabilities"] == pytest.approx(
            expected(artifacts[name], pictures["photo.jpg"]), abs=1e-4
        )
        assert one["errors"] == []
    updated = seen[3]["results"][3]
    assert updated["sha256"] == artifacts["litert"].sha256
    assert len(updated["caches"]) == 1, "the earlier page is no longer kept"
    assert seen[4]["results"][2]["offline"] == "needs its server at every visit (its files could not be kept)"


def test_the_camera_answers_frame_by_frame_and_is_let_go(pages: dict[str, Path], tmp_path: Path) -> None:
    (seen,) = visit(tmp_path, {"folder": pages["onnxruntime"], "steps": [["open"], ["camera"]]})
    found = seen["results"][1]
    assert found["frames"] >= 3
    assert sum(found["probabilities"]) == pytest.approx(1)
    assert not found["running"]
    assert seen["errors"] == []


def test_what_cannot_be_read_is_said_on_the_page(
    pages: dict[str, Path], pictures: dict[str, Path], tmp_path: Path
) -> None:
    cmyk, dicom, cut = tmp_path / "ink.jpg", tmp_path / "scan.dcm", tmp_path / "cut.png"
    text, bent = tmp_path / "letter.png", tmp_path / "bent.png"
    Image.new("CMYK", (20, 20)).save(cmyk)
    dicom.write_bytes(bytes(128) + b"DICM" + bytes(300))
    whole = pictures["wide.png"].read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    bent.write_bytes(whole[:600] + bytes([whole[600] ^ 255]) + whole[601:])
    text.write_text("Dear doctor")
    wrong = {cmyk: "CMYK", dicom: "DICOM", cut: "damaged", bent: "damaged", text: "PNG and JPEG"}
    steps = [["open"], *(["give", str(path)] for path in wrong), ["give", str(pictures["wide.png"])]]
    (seen,) = visit(tmp_path, {"folder": pages["litert"], "steps": steps})
    for (path, words), shown in zip(wrong.items(), seen["results"][1:], strict=False):
        assert shown["error"], path.name
        assert words in shown["status"]
        assert path.name in shown["status"]
    assert not seen["results"][-1]["error"], "the page goes on after a wrong file"
    assert seen["errors"] == []


def test_what_the_browser_lacks_is_said_on_the_page(
    pages: dict[str, Path], pictures: dict[str, Path], artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    give = ["give", str(pictures["wide.png"])]
    page = pages["litert"]
    seen = visit(
        tmp_path,
        {"folder": page, "steps": [["open"], give], "host": "plain.test"},
        {"folder": page, "steps": [["open"]], "without": "simd"},
        {"folder": page, "steps": [["open"]], "without": "wasm"},
        {"folder": page, "steps": [["read"]], "without": "scripts"},
        {"folder": page, "steps": [["open"]], "without": "camera"},
        {"folder": page, "steps": [["open"]], "without": "workers"},
        {"folder": page, "steps": [["open"], give], "without": "inflate"},
        {"folder": page, "steps": [["change", "/model/model.tflite", "another"], ["open"]]},
        {"folder": page, "steps": [["open"], ["camera"]], "without": "permission"},
    )
    plain, simd, wasm, scripts, camera, workers, inflate, changed, refused = (one["results"] for one in seen)
    assert "plain http" in plain[0]["notes"][0]
    assert plain[0]["hash"] == "not checked (plain http)"
    assert plain[0]["cameraOff"]
    for result in (plain[1], inflate[1]):
        assert result["probabilities"] == pytest.approx(expected(artifacts["litert"], pictures["wide.png"]), abs=1e-4)
    assert simd[0]["error"]
    assert "without SIMD" in simd[0]["status"]
    assert wasm[0]["error"]
    assert wasm[0]["status"] == "This browser has no WebAssembly, so the model cannot run in it."
    assert "the page could not start: it needs a browser with JavaScript modules" in scripts[0]["status"]
    assert "no camera" in camera[0]["notes"][0]
    assert camera[0]["cameraOff"]
    assert "no service worker" in workers[0]["notes"][0]
    assert workers[0]["offline"] == "needs its server at every visit"
    assert "DecompressionStream" in inflate[1]["notes"][0]
    assert changed[1]["error"]
    assert "its hash differs" in changed[1]["status"]
    assert refused[1]["error"]
    assert "was not allowed to use the camera" in refused[1]["status"]


def test_another_page_can_ask_it_with_pixels_and_tensors(
    pages: dict[str, Path], pictures: dict[str, Path], artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    path = pictures["wide.png"]
    inputs = to_inputs(SPEC, picture_rows(SPEC, path.read_bytes(), ""))[0].reshape(-1).tolist()
    steps = [["open"], ["api", str(path), inputs]]
    seen = visit(tmp_path, *({"folder": pages[name], "steps": steps} for name in RUNTIMES))
    for name, one in zip(RUNTIMES, seen, strict=True):
        found, refused = one["results"][1]["found"], one["results"][1]["refused"]
        assert one["results"][1]["interop"] == (name == "litert")
        assert set(found) == {"pixels", "picture", "input", "flat"}
        for probabilities in found.values():
            assert probabilities == pytest.approx(expected(artifacts[name], path), abs=1e-4)
        assert f"[1,3,{SIDE},{SIDE}]" in refused["shape"]
        assert "bool" in refused["type"]
        assert "no picture" in refused["nothing"]
        assert one["results"][1]["tensors"] == 5, "the page leaves no tensor behind"


def test_it_can_be_read_on_every_screen(pages: dict[str, Path], pictures: dict[str, Path], tmp_path: Path) -> None:
    steps = [["open"], ["look", ""], ["give", str(pictures["photo.jpg"])], ["look", ""]]
    screens = [([1280, 900], "light"), ([1280, 900], "dark"), ([360, 740], "light"), ([390, 844], "dark")]
    seen = visit(
        tmp_path,
        *({"folder": pages["onnxruntime"], "steps": steps, "screen": screen, "scheme": s} for screen, s in screens),
    )
    grounds = set()
    for (screen, scheme), one in zip(screens, seen, strict=True):
        for look in (one["results"][1], one["results"][3]):
            assert look["overflow"] == 0, screen
            assert look["contrast"][0] >= 4.5, (scheme, look["contrast"])
            grounds.add((scheme, look["ground"]))
    assert len(grounds) == 2


def test_both_runtimes_are_timed_in_turn_and_set_beside_python(
    packages: Path, artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    rows = draw_split(SplitName.VALIDATION, ROWS, SIDE, 0).inputs
    inputs = to_inputs(SPEC, rows)
    candidates = [Candidate(page_of(one), one.path, open_session(one).run(inputs)) for one in artifacts.values()]
    found = time_candidates(candidates, inputs, drawn_pictures(SPEC), packages, tmp_path, "this machine", runs=20)
    assert found.picture_difference == 0
    for timing, candidate in zip(found.timings, candidates, strict=True):
        assert timing.runs == 20
        assert 0 < timing.p50_ms <= timing.p90_ms
        assert timing.max_difference < 1e-4 * np.abs(candidate.logits).max()
        assert (timing.agreement, timing.rows, timing.threads) == (1.0, ROWS, 1)
        assert timing.where.endswith("; this machine")
        assert "Chrom" in timing.where
        assert why_wrong(timing, candidate.page) == ""


@pytest.mark.parametrize("names", [("litert",), ("onnxruntime",), RUNTIMES])
def test_a_file_that_does_not_run_in_the_browser_leaves_the_other_alone(
    packages: Path, artifacts: dict[str, Artifact], tmp_path: Path, names: tuple[str, ...]
) -> None:
    inputs = to_inputs(SPEC, draw_split(SplitName.VALIDATION, 2, SIDE, 0).inputs)
    candidates = []
    for name, artifact in artifacts.items():
        broken = tmp_path / f"broken{artifact.path.suffix}"
        broken.write_bytes(b"no model")
        logits = open_session(artifact).run(inputs)
        candidates.append(Candidate(page_of(artifact), broken if name in names else artifact.path, logits))
    work = tmp_path / "work"
    work.mkdir()
    found = time_candidates(candidates, inputs, drawn_pictures(SPEC), packages, work, "here", runs=10)
    assert [one.runtime for one in found.timings] == [name for name in artifacts if name not in names]
    assert all(one.runs == 10 and one.agreement == 1 for one in found.timings)
    assert set(found.failed) == set(names)
    assert all(why.startswith("it did not run in Chromium (") for why in found.failed.values())
    assert found.picture_difference == 0, "pictures are compared without any model"
